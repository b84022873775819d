//! The evidence policy, rule by rule: small conversations, and for each packet how much of its payload stays.
//!
//! `evidence/script.rs` writes the packets. Every conversation is also slimmed a second time, which must change nothing,
//! and held against its original. Each rule has a conversation here that ends otherwise without it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "evidence/datagrams.rs"]
mod datagrams;
#[path = "evidence/frames.rs"]
mod frames;
#[path = "evidence/ipsec.rs"]
mod ipsec;
#[path = "evidence/links.rs"]
mod links;
#[path = "evidence/media.rs"]
mod media;
#[path = "evidence/opaque.rs"]
mod opaque;
#[path = "evidence/options.rs"]
mod options;
#[path = "evidence/properties.rs"]
mod properties;
#[path = "evidence/records.rs"]
mod records;
#[path = "evidence/script.rs"]
mod script;
#[path = "evidence/segments.rs"]
mod segments;
#[path = "evidence/ssh.rs"]
mod ssh;
#[path = "support/steps.rs"]
mod steps;
#[path = "evidence/tls.rs"]
mod tls;
#[path = "evidence/tshark.rs"]
mod tshark;
#[path = "evidence/tunnels.rs"]
mod tunnels;
#[path = "evidence/wrap.rs"]
mod wrap;
