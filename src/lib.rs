//! The library behind `pcap-slimd` and `pcap-slim`: aged network captures are rewritten in place without their
//! encrypted payload.
//!
//! A capture is evidence. Nothing is lost: at every instant its name holds the whole original or the whole, verified,
//! slimmed capture. Nothing readable is cut beyond what the chosen policy says. The sensor does not notice: all work is
//! done under shared budgets.
//!
//! Data flows one way:
//!
//! ```text
//! watch --> queue --> pool --> job --> report          daemon wires this row; oneshot enters at pool
//!                      |        |
//!                   budget      +--> input             open, lease, map or read, remember the identity
//!                               +--> slim              read > dissect > classify > rewrite, then verify
//!                               +--> commit            stage > check > sync > rename > mark
//! ```
//!
//! **The import rule:** a stage imports only what it feeds, never what feeds it; `tests/layering.rs` holds the modules
//! to it, keeps each outside crate in its home, and keeps what is marked \[pure\] away from clocks, files and logs.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`alerts`] | files that name flows to keep: lists, Suricata's alerts, Zeek's logs |
//! | [`budget`] | what all workers together may use; its `governor` is the arithmetic \[pure\] |
//! | [`capture`] | containers: bytes become spans of packets \[pure\] |
//! | [`cli`] | both command lines |
//! | [`commit`] | how a capture is replaced and marked, and what a crash leaves; `disk` is the seam to the file system |
//! | [`config`] | settings: read, merge drop-ins, validate |
//! | [`daemon`] | the loop: candidates in, due captures out to the pool, drain with a deadline |
//! | [`digest`] | digests of whole files \[pure\] |
//! | [`entry`] | one name in a directory that is held open, for files that an operator names for output |
//! | [`explain`] | what slimming would cut and why, as a table, JSON or a page; writes to no capture |
//! | [`input`] | the capture on disk: opened without links, leased, mapped or read |
//! | [`job`] | one capture end to end; the only file that joins input, slim, commit and report |
//! | [`journal`] | where log events go, and the kinds of them that the message catalog explains |
//! | [`lease`] | how the kernel keeps writers out of a file, and says that one is waiting |
//! | [`limits`] | the limits of the process: taken as far as they go, errors behind that |
//! | [`malcolm`] | which directories are Malcolm's, why some must not be slimmed, what an installation says of itself |
//! | [`oneshot`] | given paths, through the same pool, to a printed report |
//! | [`place`] | what a directory allows that captures lie in: the command check-place |
//! | [`pool`] | the throttled task pool |
//! | [`provenance`] | what traces and markers tell: the commands trace and verify |
//! | [`queue`] | which candidates are due, and when the next one will be \[pure\] |
//! | [`report`] | an outcome, as a log event, a table or JSON; the words of every other event |
//! | [`restore`] | a slimmed capture, with full-length packets again, to a new file |
//! | [`scan`] | which files in a directory are captures to consider |
//! | [`service`] | what the service manager is told |
//! | [`slim`] | the core: dissectors, policies, rewriting, verification \[pure\] |
//! | [`status`] | what the daemon is doing: a snapshot, over a socket, as a table, JSON or metrics |
//! | [`stream`] | live recording: packets through a pipe, recorded slimmed and forwarded unchanged |
//! | [`threads`] | threads and event loops where the system gives them, errors where not |
//! | [`trace`] | the slim trace: what was cut from a capture, and where each packet went \[pure\] |
//! | [`unit`](mod@unit) | the drop-in by which systemd lets the daemon reach its directories |
//! | [`watch`] | file system events and scans become candidates |
//! | [`words`] | the words that a user writes for a choice |

pub mod alerts;
pub mod budget;
pub mod capture;
pub mod cli;
pub mod commit;
pub mod config;
pub mod daemon;
pub mod digest;
pub mod entry;
pub mod explain;
pub mod input;
pub mod job;
pub mod journal;
pub mod lease;
pub mod limits;
pub mod malcolm;
pub mod oneshot;
pub mod place;
pub mod pool;
pub mod provenance;
pub mod queue;
pub mod report;
pub mod restore;
pub mod scan;
pub mod service;
pub mod slim;
pub mod status;
pub mod stream;
pub mod threads;
pub mod trace;
pub mod unit;
pub mod watch;
pub mod words;
