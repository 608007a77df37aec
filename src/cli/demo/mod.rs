//! `wirelink demo`: a hub and two leaves behind two NATs on this one machine, and what the daemons make of it.

mod mapping;
mod packet;
