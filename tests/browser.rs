//! The page of `pcap-slim explain --html` in a real browser: its figures are there, nothing can be loaded or run, it fits a
//! narrow screen, and it is readable in light and in dark.
//!
//! The browser is a headless Chromium, driven by its command line. Where there is none, the tests say that they were left
//! out. A page that frames ours asks the browser for what cannot be seen from outside, since ours may run no script.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use tempfile::TempDir;

mod support;

/// Longer than any page takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A narrow telephone.
const NARROW: u32 = 360;
/// The least contrast of text (WCAG 2.1, success criterion 1.4.3).
const CONTRAST: f64 = 4.5;

/// A folder with a page in it, and a browser to look at it.
struct Browser {
    program: &'static str,
    folder: TempDir,
}

impl Browser {
    /// A browser and a fresh page about captures that have some of everything; `None` where there is no browser.
    fn with_page() -> Option<Self> {
        let is_there = |program: &&str| {
            let version = Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            version.is_ok_and(|status| status.success())
        };
        let Some(program) = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|program| is_there(program))
        else {
            println!("browser: left out, there is no chromium");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let captures = folder.path().join("captures");
        fs::create_dir(&captures).unwrap();
        fs::write(captures.join("a.pcap"), support::tls_capture(300_000, 1)).unwrap();
        let long = format!("{}.pcap", "a-name-without-an-end-".repeat(10));
        fs::write(captures.join(long), support::tls_capture(100_000, 2)).unwrap();
        fs::write(
            captures.join("<img src=x onerror=alert(1)>.pcapng"),
            // A section header that is damaged: it claims seven bytes.
            b"\x0a\x0d\x0d\x0a\x07\0\0\0\x4d\x3c\x2b\x1a",
        )
        .unwrap();
        let done = Command::cargo_bin("pcap-slim")
            .unwrap()
            .arg("explain")
            .arg(&captures)
            .arg("--html")
            .arg(folder.path().join("page.html"))
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(1), "one of the captures cannot be read");
        Some(Self { program, folder })
    }

    fn page(&self) -> PathBuf {
        self.folder.path().join("page.html")
    }

    fn run(&self, page: &Path, arguments: &[&str]) -> String {
        let out = self.folder.path().join("out");
        let mut profile = OsString::from("--user-data-dir=");
        profile.push(self.folder.path().join("profile"));
        let mut browser = Command::new(self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args([
                "--disable-background-networking",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .args(["--allow-file-access-from-files", "--virtual-time-budget=3000"])
            .arg(profile)
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .stdout(fs::File::create(&out).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while browser.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                browser.kill().unwrap();
                panic!("the browser takes too long");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::read_to_string(out).unwrap()
    }

    /// What the browser makes of the page.
    fn dom(&self, page: &Path) -> String {
        self.run(page, &["--dump-dom"])
    }

    /// What a script says of our page in a frame of some width; `scheme` is 0 for dark and 1 for light.
    fn ask(&self, width: u32, scheme: u8, script: &str) -> String {
        let frame = self.folder.path().join("frame.html");
        let text = format!(
            "<meta name=color-scheme content='light dark'>\
             <iframe src=page.html style='border:0;width:{width}px;height:600px'></iframe><pre></pre><script>\
             onload = () => {{ const page = document.querySelector('iframe').contentDocument;\
             const style = name => getComputedStyle(page.querySelector(name));\
             document.querySelector('pre').textContent = 'answer:' + ({script}) + ';'; }}</script>"
        );
        fs::write(&frame, text).unwrap();
        let dom = self.run(
            &frame,
            &[
                "--dump-dom",
                &format!("--blink-settings=preferredColorScheme={scheme}"),
            ],
        );
        let answer = dom
            .split_once("<pre>answer:")
            .and_then(|(_, rest)| rest.split_once(';'));
        answer.unwrap_or_else(|| panic!("no answer: {dom}")).0.to_owned()
    }
}

/// The relative luminance of `rgb(r, g, b)` (WCAG 2.1).
fn luminance(color: &str) -> f64 {
    let digits = color.trim_start_matches("rgb(").trim_end_matches(')');
    let channels: Vec<f64> = digits
        .split(", ")
        .map(|channel| channel.parse::<f64>().unwrap() / 255.0)
        .map(|channel| {
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        })
        .collect();
    0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
}

fn contrast(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(|color| luminance(color) + 0.05);
    one.max(other) / one.min(other)
}

#[test]
fn a_browser_shows_the_figures_in_tables_with_headings() {
    let Some(browser) = Browser::with_page() else {
        return;
    };
    let dom = browser.dom(&browser.page());
    for expected in [
        "2 captures read, 1 could not be read",
        "this sensor's disk would last",
        "tls, tls-records",
        "10.0.0.1:443",
        "tcp 80",
        "damage in the middle at position 0",
        "aria-label=",
        "role=\"rowheader\"",
        "<h2 id=\"ports\">",
    ] {
        assert!(dom.contains(expected), "{expected}\n{dom}");
    }
    assert!(!dom.contains("<img"), "a name became an element");
}

#[test]
fn the_page_fits_a_narrow_screen() {
    let Some(browser) = Browser::with_page() else {
        return;
    };
    for width in [NARROW, 700, 1200] {
        let widest = browser.ask(
            width,
            1,
            "Math.max(page.documentElement.scrollWidth, ...[...page.querySelectorAll('body *')]\
             .filter(e => !e.closest('thead, svg')).map(e => Math.ceil(e.getBoundingClientRect().right)))",
        );
        assert!(
            widest.parse::<u32>().unwrap() <= width,
            "{widest} columns of pixels on {width}"
        );
    }
}

#[test]
fn text_can_be_read_in_light_and_in_dark() {
    let Some(browser) = Browser::with_page() else {
        return;
    };
    let mut papers = Vec::new();
    for scheme in [0, 1] {
        let colors = browser.ask(
            1000,
            scheme,
            "[style('body').backgroundColor, style('body').color, style('caption').color, \
             style('.stays').fill, style('.goes').stroke].join('/')",
        );
        let colors: Vec<&str> = colors.split('/').collect();
        let [paper, ink, quiet, stays, goes] = colors[..] else {
            panic!("{colors:?}")
        };
        assert!(
            contrast(paper, ink) > CONTRAST && contrast(paper, quiet) > CONTRAST,
            "{colors:?}"
        );
        // Of what is no text, 3 is enough (success criterion 1.4.11).
        assert!(
            contrast(paper, stays) > 3.0 && contrast(paper, goes) > 3.0,
            "{colors:?}"
        );
        papers.push(luminance(paper));
    }
    assert!(papers[0] < 0.1 && papers[1] > 0.9, "{papers:?}");
}

/// Whether anybody asks for something before `end` says so. A connection alone is none: browsers open some in advance.
fn is_asked(listener: &TcpListener, end: &AtomicBool) -> bool {
    let mut is_asked = false;
    while !end.load(Ordering::Relaxed) {
        if let Ok((mut asking, _)) = listener.accept() {
            asking.set_nonblocking(false).unwrap();
            asking.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            // It is dropped then, so that the browser does not wait.
            is_asked |= asking.read(&mut [0; 1000]).is_ok_and(|bytes| bytes > 0);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    is_asked
}

/// The page with elements that would load something, if they could; and the same without the policy that forbids it, to
/// see that the browser would.
#[test]
fn nothing_can_be_loaded_from_anywhere() {
    let Some(browser) = Browser::with_page() else {
        return;
    };
    let page = fs::read_to_string(browser.page()).unwrap();
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let loading = format!(
        "<img src='http://{address}/image'><link rel=stylesheet href='http://{address}/style'>\
         <script src='http://{address}/script'></script><iframe src='http://{address}/frame'></iframe></body>"
    );
    let armed = page.replace("</body>", &loading);
    let tried = browser.folder.path().join("tried.html");
    let asks = |page: &str| {
        fs::write(&tried, page).unwrap();
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| is_asked(&listener, &end));
            browser.dom(&tried);
            end.store(true, Ordering::Relaxed);
            asked.join().unwrap()
        })
    };
    assert!(!asks(&armed), "something was loaded");
    let unarmed = armed.replace("Content-Security-Policy", "x");
    assert!(
        asks(&unarmed),
        "the browser loads nothing anyway, so that nothing was proved"
    );
}
