//! The experiments that are made on real interfaces, too (`tests/netns/twin.rs`).

use crate::experiment::{model::OnModel, table};

#[test]
fn a_packet_opens_a_session() {
    OnModel::make(&table::A_PACKET_OPENS_A_SESSION);
}

#[test]
fn initiations_are_five_seconds_apart() {
    OnModel::make(&table::INITIATIONS_ARE_FIVE_SECONDS_APART);
}

#[test]
fn a_lost_initiation_costs_five_seconds() {
    OnModel::make(&table::A_LOST_INITIATION_COSTS_FIVE_SECONDS);
}

#[test]
fn a_keepalive_from_none_sends_at_once() {
    OnModel::make(&table::A_KEEPALIVE_FROM_NONE_SENDS_AT_ONCE);
}

#[test]
fn setting_an_endpoint_sends_nothing() {
    OnModel::make(&table::SETTING_AN_ENDPOINT_SENDS_NOTHING);
}

#[test]
fn the_next_packet_goes_to_the_new_endpoint() {
    OnModel::make(&table::THE_NEXT_PACKET_GOES_TO_THE_NEW_ENDPOINT);
}

#[test]
fn the_endpoint_follows_its_peer() {
    OnModel::make(&table::THE_ENDPOINT_FOLLOWS_ITS_PEER);
}

#[test]
fn a_host_speaks_from_its_new_address() {
    OnModel::make(&table::A_HOST_SPEAKS_FROM_ITS_NEW_ADDRESS);
}

#[test]
fn a_forged_source_is_dropped() {
    OnModel::make(&table::A_FORGED_SOURCE_IS_DROPPED);
}

#[test]
fn a_prefix_moves_with_its_packets() {
    OnModel::make(&table::A_PREFIX_MOVES_WITH_ITS_PACKETS);
}

#[test]
fn a_peer_made_anew_has_no_limit() {
    OnModel::make(&table::A_PEER_MADE_ANEW_HAS_NO_LIMIT);
}

#[test]
fn the_handshake_time_stays() {
    OnModel::make(&table::THE_HANDSHAKE_TIME_STAYS);
}

#[test]
fn data_is_answered_within_ten_seconds() {
    OnModel::make(&table::DATA_IS_ANSWERED_WITHIN_TEN_SECONDS);
}

#[test]
fn a_lost_session_is_found_out() {
    OnModel::make(&table::A_LOST_SESSION_IS_FOUND_OUT);
}
