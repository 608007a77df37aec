//! Networks without any tunnel.
