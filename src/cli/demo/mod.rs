//! `wirelink demo`: a hub and two leaves behind two NATs on this one machine, and what the daemons make of it.

mod embedded;
mod ip;
mod journal;
mod mapping;
mod nat;
mod packet;
mod ping;
mod sandbox;
mod uapi;
mod wireguard;
