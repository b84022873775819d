//! What a policy is told, as flags: the options of the evidence policy, and what stays whole under any.
//!
//! Apart from the commands that take them, as any that judges packets may. The words and the forms of values are those
//! of the configuration; a list is one flag with commas, or the flag again.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, Args};

use super::one_of;
use crate::alerts;
use crate::job::Judging;
use crate::slim::PolicyName;
use crate::slim::policy::evidence::{Options as EvidenceOptions, Protocol, Protocols};
use crate::slim::policy::keep::{FiveTuple, Network, Ports, Rules, Vlans};

/// What the evidence policy is told, and what stays whole under any.
#[derive(Debug, Clone, Args)]
pub(super) struct PolicyArgs {
    #[command(flatten, next_help_heading = "What the evidence policy cuts")]
    evidence: EvidenceArgs,
    #[command(flatten, next_help_heading = "What stays whole under any policy")]
    keep: KeepArgs,
}

#[derive(Debug, Clone, Args)]
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

#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_field_names)] // a flag is called as its field is
struct KeepArgs {
    /// Packets from or to these networks or addresses, as 10.0.0.0/8,192.0.2.7
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
pub(super) const FLAGS: [&str; 11] = [
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

impl PolicyArgs {
    /// What decides, with that policy.
    pub(super) fn judging(self, policy: PolicyName) -> Judging {
        let KeepArgs {
            keep_networks: networks,
            keep_ports: ports,
            keep_vlans: vlans,
            keep_flows: flows,
            keep_flows_of,
        } = self.keep;
        Judging {
            policy,
            evidence: EvidenceOptions::from(self.evidence),
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
    let policy = *matches.try_get_one::<PolicyName>("policy").ok()??;
    (policy != PolicyName::Evidence).then_some((policy, OF_EVIDENCE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ffi::OsString;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::super::Slim;
    use super::*;
    use crate::oneshot::Request;

    fn read(flags: &[&str]) -> Result<(Slim, Vec<String>), clap::Error> {
        let line = ["pcap-slim", "--dir", "d"].iter().chain(flags);
        Slim::read(line.map(OsString::from))
    }

    #[test]
    fn every_flag_exists() {
        let command = Slim::command();
        for id in FLAGS {
            let mut arguments = command.get_arguments();
            assert!(arguments.any(|argument| argument.get_id() == id), "{id}");
        }
        assert!(OF_EVIDENCE.iter().all(|id| FLAGS.contains(id)));
    }

    #[test]
    fn without_flags_it_is_as_without_options() {
        let request: Request = read(&[]).unwrap().0.into();
        assert_eq!(request.options.judging, Judging::default());
    }

    #[test]
    fn every_flag_arrives() {
        let line = "--policy evidence --opaque-udp --floor 64 --head-bytes 4096 --head-packets 8 --protocols ssh,tls \
                    --max-flows 1000 --keep-networks 10.0.0.0/8,::1 --keep-networks 192.0.2.1 --keep-ports 22,udp/1-9 \
                    --keep-vlans 7,9-10 --keep-flows-of a --keep-flows-of b,c";
        let mut flags: Vec<&str> = line.split_whitespace().collect();
        flags.extend(["--keep-flows", "tcp 192.0.2.1 1 192.0.2.2 2"]);
        let (slim, warnings) = read(&flags).unwrap();
        assert_eq!(warnings, [""; 0]);
        let judging = Request::from(slim).options.judging;
        assert_eq!(judging.policy, PolicyName::Evidence);
        let evidence = EvidenceOptions {
            opaque_udp: true,
            floor: 64,
            head_bytes: 4096,
            head_packets: 8,
            off: [Protocol::Ssh, Protocol::Tls]
                .into_iter()
                .collect::<Protocols>()
                .others(),
            max_flows: 1000,
        };
        assert_eq!(judging.evidence, evidence);
        let shown = |rules: &Rules| {
            let Rules {
                networks,
                ports,
                vlans,
                flows,
            } = rules;
            format!("{networks:?} {ports:?} {vlans:?} {flows:?}")
        };
        let rules = Rules {
            networks: ["10.0.0.0/8", "::1", "192.0.2.1"]
                .map(|text| text.parse().unwrap())
                .into(),
            ports: ["22", "udp/1-9"].map(|text| text.parse().unwrap()).into(),
            vlans: ["7", "9-10"].map(|text| text.parse().unwrap()).into(),
            flows: vec!["tcp 192.0.2.1 1 192.0.2.2 2".parse().unwrap()],
        };
        assert_eq!(shown(&judging.keep), shown(&rules));
        assert_eq!(judging.keep_flows_of.named(), ["a", "b,c"].map(PathBuf::from));
    }

    #[test]
    fn hostile_values_are_usage_errors() {
        for (flag, value) in [
            ("--floor", "23"),
            ("--floor", "65536"),
            ("--head-bytes", "-1"),
            ("--head-packets", "1000000001"),
            ("--max-flows", "0"),
            ("--keep-networks", "10.0.0.1/8"),
            ("--keep-networks", "10.0.0.0/8,"),
            ("--keep-ports", "70000"),
            ("--keep-vlans", "4096"),
            ("--keep-flows", "tcp 192.0.2.1 192.0.2.2"),
        ] {
            let error = read(&[flag, value]).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::ValueValidation,
                "{flag} {value}: {error}"
            );
            assert_eq!(error.exit_code(), 2);
        }
        let error = read(&["--protocols", "tls,http"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidValue);
        let error = read(&["--keep-networks", "10.0.0.1/8"]).unwrap_err().to_string();
        assert!(
            error.contains("has bits behind its prefix; write 10.0.0.0/8"),
            "{error}"
        );
    }

    #[test]
    fn what_the_reference_policy_does_not_heed_is_warned_about() {
        let warned = |flags: &[&str]| read(flags).unwrap().1;
        assert_eq!(
            warned(&["--floor", "64", "--keep-ports", "22", "--policy", "reference"]),
            ["--floor has no effect with --policy reference"]
        );
        assert_eq!(warned(&["--floor", "64", "--policy", "evidence"]), [""; 0]);
        for command in ["explain a", "stream -w a"] {
            let line = format!("pcap-slim {command} --policy reference --floor 64 --keep-ports 22");
            let (_, warnings) = Slim::read(line.split_whitespace().map(OsString::from)).unwrap();
            assert_eq!(warnings, ["--floor has no effect with --policy reference"]);
        }
        assert_eq!(
            warned(&["--dry-run", "--keep-ports", "22"]),
            ["--keep-ports has no effect with --dry-run"]
        );
    }
}
