//! `wirelink demo`: a hub and two leaves behind two NATs on this one machine, and what the daemons make of it.

mod ip;
mod mapping;
mod packet;
mod sandbox;
