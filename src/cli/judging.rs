//! What decides over packets, as flags: the policy, its options, and what stays whole all the same.
//!
//! Apart from the commands that take them, since each that judges packets judges by the same flags. The words and the
//! forms of values are those of the configuration; a list is one flag with commas, or the flag again.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, Args};

use super::one_of;
use crate::alerts;
use crate::job::Judging;
use crate::slim::PolicyName;
use crate::slim::policy::evidence::{Options as EvidenceOptions, Protocol, Protocols};
use crate::slim::policy::keep::{FiveTuple, Network, Ports, Rules, Vlans};
use crate::words::Word;

/// Which policy, and what it must leave whole.
#[derive(Debug, Args)]
pub(super) struct JudgingArgs {
    /// Which policy decides what is cut
    #[arg(long, value_parser = one_of::<PolicyName>(), default_value = PolicyName::default().word())]
    policy: PolicyName,
    #[command(flatten, next_help_heading = "What the evidence policy cuts")]
    evidence: EvidenceArgs,
    #[command(flatten, next_help_heading = "What stays whole under any policy")]
    keep: KeepArgs,
}

#[derive(Debug, Args)]
struct EvidenceArgs {
    /// Also cut UDP payloads of no known protocol that have the statistics of ciphertext
    #[arg(long)]
    opaque_udp: bool,
    /// How many bytes of each encrypted payload stay, 24 to 65535
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 24,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = within(&EvidenceOptions::FLOORS))]
    floor: u32,
    /// Keep the first so many payload bytes of each direction of a flow
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = within(&EvidenceOptions::HEADS))]
    head_bytes: u32,
    /// Keep the first so many packets with a payload of each direction of a flow
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    #[arg(value_parser = within(&EvidenceOptions::HEADS))]
    head_packets: u32,
    /// Whose ciphertext is cut; one that is not in the list stays whole [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = one_of::<Protocol>())]
    protocols: Option<Vec<Protocol>>,
    /// How many flows are remembered at a time, about 200 bytes each
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000_000,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = within(&EvidenceOptions::MOST_FLOWS))]
    max_flows: u32,
}

#[derive(Debug, Args)]
struct KeepArgs {
    /// Packets from or to these networks or addresses, as 10.0.0.0/8,2001:db8::1
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    keep_networks: Vec<Network>,
    /// Packets from or to these ports, as 22,8000-8100,tcp/443,udp/5000-6000
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    keep_ports: Vec<Ports>,
    /// Packets with these VLAN ids, as 100,200-299
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    keep_vlans: Vec<Vlans>,
    /// Both directions of a flow, as "tcp 192.0.2.1 40000 198.51.100.2 443"; may be given more than once
    #[arg(long, value_name = "FLOW")]
    keep_flows: Vec<FiveTuple>,
    /// The flows in a list of five-tuples, in the alerts of Suricata's eve.json, or in Zeek's notice.log; the file's name
    /// may be a pattern; may be given more than once
    #[arg(long, value_name = "FILE")]
    keep_flows_of: Vec<PathBuf>,
}

/// Takes a number in a range.
fn within(range: &std::ops::RangeInclusive<u32>) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*range.start())..=i64::from(*range.end()))
}

/// The flags that only the evidence policy heeds, as clap names them.
const OF_EVIDENCE: [&str; 6] = [
    "opaque_udp",
    "floor",
    "head_bytes",
    "head_packets",
    "protocols",
    "max_flows",
];

/// All the flags here, as clap names them.
pub(super) const FLAGS: [&str; 12] = [
    "policy",
    "opaque_udp",
    "floor",
    "head_bytes",
    "head_packets",
    "protocols",
    "max_flows",
    "keep_networks",
    "keep_ports",
    "keep_vlans",
    "keep_flows",
    "keep_flows_of",
];

impl From<JudgingArgs> for Judging {
    fn from(flags: JudgingArgs) -> Self {
        let KeepArgs {
            keep_networks: networks,
            keep_ports: ports,
            keep_vlans: vlans,
            keep_flows: flows,
            keep_flows_of,
        } = flags.keep;
        Self {
            policy: flags.policy,
            evidence: EvidenceOptions::from(flags.evidence),
            keep: Rules {
                networks,
                ports,
                vlans,
                flows,
            },
            keep_flows_of: Arc::new(alerts::Files::new(keep_flows_of)),
        }
    }
}

impl From<EvidenceArgs> for EvidenceOptions {
    fn from(flags: EvidenceArgs) -> Self {
        let on: Option<Protocols> = flags.protocols.map(|on| on.into_iter().collect());
        Self {
            opaque_udp: flags.opaque_udp,
            floor: flags.floor as usize,
            head_bytes: flags.head_bytes,
            head_packets: flags.head_packets,
            off: on.map(Protocols::others).unwrap_or_default(),
            max_flows: flags.max_flows as usize,
        }
    }
}

/// The flags of the evidence policy, where that is not the one that was chosen.
pub(super) fn without_effect(matches: &ArgMatches) -> Option<(PolicyName, [&'static str; 6])> {
    let policy = *matches.get_one::<PolicyName>("policy")?;
    (policy != PolicyName::Evidence).then_some((policy, OF_EVIDENCE))
}
