//! Writes the man pages and shell completions into a directory: `cargo run --example manual -- DIR`.
//!
//! They are made from the definitions of the command lines and from the configuration that is shipped, so that nothing
//! is said twice. An example and not a command, for the installed programs need none of this. What no definition holds
//! (files, signals, what to read next) stands here. `SOURCE_DATE_EPOCH` dates the pages, so that a build can be
//! repeated.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pcap_slim::cli::{Slim, Slimd};

type Done = Result<(), Box<dyn Error>>;

/// The shipped configuration.
const CONFIGURATION: &str = include_str!("../config/pcap-slimd.toml");

/// Sections that follow the options: a heading, and paragraphs or (tag, text) pairs.
type Section = (&'static str, &'static [Paragraph]);
type Paragraph = (&'static str, &'static str);

// Files that both programs leave beside captures.
const MARKER: Paragraph = (
    ".slim_markers/NAME",
    "Beside a capture: it is slimmed, what it was before, and what it is since. One that was changed after that is \
     reported, and slimmed again only when told so.",
);
const FAILED: Paragraph = (
    ".slim_markers/NAME.failed",
    "Beside a capture: why it can never be slimmed.",
);
const PRIVATE: Paragraph = (
    ".slim_markers/private",
    "Beside captures: where a slimmed file is written, and where an original waits after it was replaced. Mode 0700, \
     owned by the user that slims.",
);
const CONFLICT: Paragraph = (
    "NAME.conflict",
    "Beside a capture: a file that lost its name to another while a program wrote to it. It holds what that \
     program wrote; compare it with the capture, and keep the one that you want.",
);

const SLIM: &[Section] = &[
    (
        "FILES",
        &[
            MARKER,
            FAILED,
            PRIVATE,
            CONFLICT,
            (
                ".slim_markers/NAME.slimtrace",
                "Beside a capture: what was cut from it, by which rule, and where its packets went; see slimtrace(5).",
            ),
        ],
    ),
    (
        "FILES OF FLOWS",
        &[
            (
                "",
                "A file of --keep-flows-of is told by what is in it. It is read before each capture; while it is missing or \
                 cannot be read, no capture is slimmed. Flows are kept in both directions and in any VLAN.",
            ),
            (
                "Lists",
                "On each line tcp ADDRESS PORT ADDRESS PORT, or udp, or esp ADDRESS ADDRESS, with spaces, tabs or commas \
                 between. What begins with # is a comment.",
            ),
            (
                "Suricata's eve.json",
                "Events of the type alert, with src_ip, src_port, dest_ip, dest_port and proto.",
            ),
            (
                "Zeek's logs",
                "notice.log and others with id.orig_h, id.orig_p, id.resp_h, id.resp_p and proto, as columns with their \
                 #fields line or as JSON.",
            ),
        ],
    ),
    (
        "SEE ALSO",
        &[(
            "",
            "pcap-slimd(8), slimtrace(5), editcap(1), tcpdump(8), pcap-savefile(5)",
        )],
    ),
];

const SLIMD_DESCRIPTION: &[&str] = &[
    "Sensors that record network traffic fill their disks with ciphertext that nobody will ever read. pcap-slimd \
     watches the directories that its configuration names, waits until a capture has not changed for some time, and \
     replaces it by itself without the encrypted payload: every packet, timestamp, header and readable byte stays, of \
     each encrypted payload its first 24 bytes. A capture that anyone has open for writing is left alone, and one is \
     replaced only after its slimmed form was verified.",
    "It is meant to run as the service pcap-slimd.service, which can write nowhere until print-dropin was asked for the \
     directories that it may reach, and works the same from a terminal.",
    "Malcolm's directories are known by what lies beside them: upload is refused, and processed too unless the \
     configuration says reingest = \"accepted\" for it. Sessions of slimmed captures can not be opened from Arkime's \
     session view, since the positions in its index are those of the originals.",
];

const SLIMD: &[Section] = &[
    (
        "SIGNALS",
        &[
            (
                "SIGHUP",
                "Reads the configuration again, as systemctl reload does. One with mistakes changes nothing. A directory that \
                 was reported as replaced is taken for the one to watch from then on.",
            ),
            (
                "SIGTERM, SIGINT",
                "Starts nothing new, finishes the captures in work if that fits into shutdown_grace_seconds, abandons \
                 them unharmed otherwise, and ends.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            (
                "/etc/pcap-slimd/config.toml",
                "The configuration; see pcap-slimd.toml(5). Files in /etc/pcap-slimd/config.d are read after it.",
            ),
            (
                "/etc/systemd/system/pcap-slimd.service.d/directories.conf",
                "By convention, what pcap-slimd print-dropin printed: the directories that the service may reach. To be \
                 made anew when the directories of the configuration change.",
            ),
            MARKER,
            FAILED,
            PRIVATE,
            CONFLICT,
            (
                ".slim_markers/NAME.slimtrace",
                "Beside a capture, where trace = true: what was cut from it, and where its packets went; see slimtrace(5).",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[(
            "PCAP_SLIMD_LOG",
            "Which events are logged: error, warn, info (the default), debug or trace.",
        )],
    ),
    (
        "SEE ALSO",
        &[(
            "",
            "pcap-slim(1), pcap-slimd.toml(5), systemd.exec(5), journalctl(1), systemctl(1)",
        )],
    ),
];

const TOML: &[Section] = &[
    (
        "FILES",
        &[
            ("/etc/pcap-slimd/config.toml", "The configuration."),
            (
                "/etc/pcap-slimd/config.d/*.toml",
                "Read after it in name order; later files win key by key.",
            ),
        ],
    ),
    ("SEE ALSO", &[("", "pcap-slimd(8), pcap-slim(1)")]),
];

fn main() -> Done {
    let directory = std::env::args_os().nth(1).ok_or("usage: manual DIR")?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    page(directory, Slim::command(), "1", SLIM)?;
    page(directory, Slimd::command(), "8", SLIMD)?;
    fs::write(directory.join("pcap-slimd.toml.5"), configuration()?)?;
    for mut command in [Slim::command(), Slimd::command()] {
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command, &name, directory)?;
        }
    }
    Ok(())
}

/// A page of a program. Its commands become a section of their own, since they have no pages.
fn page(directory: &Path, command: Command, section: &str, more: &[Section]) -> Done {
    let name = command.get_name().to_owned();
    let commands: Vec<Command> = command.get_subcommands().cloned().collect();
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let command = command
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND");
    let man = Man::new(command)
        .title(name.to_uppercase())
        .section(section)
        .date(date())
        .manual("pcap-slimd");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    let mut rest = Roff::new();
    rest.control("SH", ["DESCRIPTION"]);
    let (examples, prose, exit) = split(&help);
    let described = if name == "pcap-slimd" {
        SLIMD_DESCRIPTION
    } else {
        &[]
    };
    for paragraph in described.iter().copied().chain(prose.iter().map(String::as_str)) {
        rest.control("PP", []).text([roman(paragraph)]);
    }
    rest.to_writer(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut rest = Roff::new();
    if !commands.is_empty() {
        rest.control("SH", ["COMMANDS"]);
    }
    for command in &commands {
        describe(&mut rest, "", command);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for status in exit {
        let words = || status.split(' ');
        let is_code = |word: &&str| *word == "or" || word.trim_end_matches(',').parse::<u8>().is_ok();
        let codes = words().take_while(is_code).count();
        let code = words().take(codes).collect::<Vec<_>>().join(" ");
        let meaning = words().skip(codes).collect::<Vec<_>>().join(" ");
        rest.control("TP", [])
            .text([bold(code)])
            .text([roman(meaning + ".")]);
    }
    let (last, first) = more.split_last().ok_or("no sections")?;
    sections(&mut rest, first);
    rest.control("SH", ["EXAMPLES"]);
    for (line, meaning) in examples {
        rest.control("TP", []).text([bold(line)]).text([roman(meaning)]);
    }
    sections(&mut rest, std::slice::from_ref(last));
    rest.to_writer(&mut text)?;
    fs::write(directory.join(format!("{name}.{section}")), tidy(&text)?)?;
    Ok(())
}

/// A command with what can stand behind it; `before` is the command that it belongs to, if any.
fn describe(roff: &mut Roff, before: &str, command: &Command) {
    let name = format!("{before}{}", command.get_name());
    let commands: Vec<&Command> = command.get_subcommands().collect();
    if !commands.is_empty() {
        for command in commands {
            describe(roff, &format!("{name} "), command);
        }
        return;
    }
    let mut tag: Vec<Inline> = vec![bold(name)];
    for argument in command.get_positionals() {
        let names = argument.get_value_names().unwrap_or_default();
        tag.extend([roman(" ["), italic(names.join(" ")), roman("]")]);
    }
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    let mut text = about(command.get_about());
    for argument in command.get_positionals() {
        text.push_str(". ");
        text.push_str(&about(argument.get_help()));
    }
    roff.control("TP", []).text(tag).text([roman(text + ".")]);
    let is_own = |argument: &&clap::Arg| !argument.is_global_set() && argument.get_id() != "help";
    for argument in command.get_arguments().filter(is_own) {
        let Some(long) = argument.get_long() else { continue };
        let values = if argument.get_action().takes_values() {
            argument.get_value_names().unwrap_or_default().join(" ")
        } else {
            String::new()
        };
        roff.control("RS", []).control("TP", []);
        roff.text([bold(format!("--{long} ")), italic(values)]);
        roff.text([roman(about(argument.get_help()) + ".")])
            .control("RE", []);
    }
}

fn sections(roff: &mut Roff, sections: &[Section]) {
    for (heading, entries) in sections {
        roff.control("SH", [*heading]);
        for (tag, text) in *entries {
            if tag.is_empty() {
                roff.text([roman(*text)]);
            } else {
                roff.control("TP", []).text([bold(*tag)]).text([roman(*text)]);
            }
        }
    }
}

/// What stands behind the options in a program's help: examples with their meanings, paragraphs, exit statuses.
fn split(help: &str) -> (Vec<(String, String)>, Vec<String>, Vec<String>) {
    let (mut examples, mut prose, mut exit) = (Vec::new(), Vec::new(), Vec::new());
    for paragraph in help.split("\n\n") {
        let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(lines) = paragraph.strip_prefix("Examples:\n") {
            let pairs = lines
                .lines()
                .map(str::trim)
                .map(|line| line.split_once("  ").unwrap_or((line, "")));
            examples.extend(pairs.map(|(line, meaning)| (line.to_owned(), meaning.trim().to_owned())));
        } else if let Some(statuses) = joined.strip_prefix("Exit status: ") {
            exit.extend(statuses.trim_end_matches('.').split("; ").map(str::to_owned));
        } else if !joined.is_empty() {
            prose.push(joined);
        }
    }
    (examples, prose, exit)
}

/// The page of the configuration file: its sections, and for each key the prose above it.
fn configuration() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut roff = Roff::new();
    roff.control(
        "TH",
        [
            "PCAP-SLIMD.TOML",
            "5",
            &date(),
            concat!("pcap-slimd ", env!("CARGO_PKG_VERSION")),
            "pcap-slimd",
        ],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "pcap-slimd.toml - which captures pcap-slimd slims, when and how",
    )]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([italic("/etc/pcap-slimd/config.toml")])
        .control("br", []);
    roff.text([italic("/etc/pcap-slimd/config.d/*.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman("What follows is said in the file as it is installed, too.")]);
    let mut prose: Vec<&str> = Vec::new();
    let mut is_begun = false;
    for line in CONFIGURATION.lines() {
        if let Some(heading) = line.strip_prefix('#').unwrap_or(line).strip_prefix('[') {
            // The prose above the list of watches is its own; that below a plain section is too.
            let heading = heading.trim_matches(['[', ']']);
            if line.starts_with('#') {
                section(&mut roff, &format!("[[{heading}]]"));
                paragraphs(&mut roff, &mut prose);
            } else {
                paragraphs(&mut roff, &mut prose);
                section(&mut roff, &format!("[{heading}]"));
            }
            is_begun = true;
        } else if let Some((key, default)) = line.strip_prefix('#').and_then(|line| line.split_once(" = "))
            && !key.contains(' ')
        {
            roff.control("TP", []);
            roff.text([bold(key), roman(" = "), roman(default)]);
            roff.text([roman(std::mem::take(&mut prose).join(" "))]);
        } else if let Some((command, meaning)) =
            line.strip_prefix("#   ").and_then(|line| line.split_once("   "))
        {
            paragraphs(&mut roff, &mut prose);
            roff.control("TP", []).text([bold(command)]);
            roff.text([roman(meaning.trim_start())]);
        } else if let Some(text) = line.strip_prefix('#') {
            prose.push(text.trim_start());
        } else if is_begun && line.is_empty() && !prose.is_empty() {
            paragraphs(&mut roff, &mut prose);
        }
    }
    sections(&mut roff, TOML);
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    tidy(&text)
}

fn section(roff: &mut Roff, heading: &str) {
    roff.control("SH", [heading]);
}

/// Writes the collected lines of prose, an empty one ending a paragraph.
fn paragraphs(roff: &mut Roff, prose: &mut Vec<&str>) {
    for paragraph in std::mem::take(prose).split(|line| line.is_empty()) {
        if !paragraph.is_empty() {
            roff.control("PP", []).text([roman(paragraph.join(" "))]);
        }
    }
}

/// The day of `SOURCE_DATE_EPOCH`; empty where nobody says it.
fn date() -> String {
    let seconds = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    let Some(mut days) = seconds.map(|seconds| seconds.div_euclid(86_400)) else {
        return String::new();
    };
    let length = |year: i64| {
        if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 {
            366
        } else {
            365
        }
    };
    let mut year = 1970;
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut month = 1;
    for of_month in [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < of_month {
            break;
        }
        days -= of_month;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// How long a line of a page may be.
const WIDTH: usize = 78;

/// Without what the generators repeat: the preamble of each part, paragraphs that headings begin anyway, breaks beside
/// spaces. Long lines are wrapped.
fn tidy(text: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut lines: Vec<String> = Vec::new();
    for line in std::str::from_utf8(text)?.lines().map(str::trim_end) {
        let last = lines.last().map_or("", String::as_str);
        let is_preamble = line.starts_with(".ie ") || line.starts_with(".el ");
        let is_repeated = is_preamble && lines.iter().any(|earlier| earlier == line);
        let is_idle =
            (line == ".PP" && last.starts_with(".SH")) || (line == ".br" && [".sp", ".br"].contains(&last));
        if is_repeated || is_idle || line.is_empty() {
            continue;
        }
        if line == ".sp" && last == ".br" {
            lines.pop();
        }
        wrap(line, &mut lines);
    }
    let mut tidied = Vec::new();
    for line in lines {
        writeln!(tidied, "{line}")?;
    }
    Ok(tidied)
}

/// Breaks a line of text where a word begins, unless that would make a request of it.
fn wrap(line: &str, lines: &mut Vec<String>) {
    if line.starts_with(['.', '\'']) {
        lines.push(line.to_owned());
        return;
    }
    let mut current = String::new();
    for word in line.split(' ') {
        let fits = current.len() + 1 + word.len() <= WIDTH;
        if current.is_empty() {
            word.clone_into(&mut current);
        } else if fits || word.is_empty() || word.starts_with(['.', '\'']) {
            current.push(' ');
            current.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut current, word.to_owned()));
        }
    }
    lines.push(current);
}
