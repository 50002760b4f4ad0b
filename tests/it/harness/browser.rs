//! A real headless Chromium, driven by its own protocol over a pipe (Chrome `DevTools` Protocol, `--remote-debugging-pipe`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::output;

/// How long one answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What keeps it from speaking to anybody, and from asking for a first run.
const QUIET: &str = "--headless --no-sandbox --disable-dev-shm-usage --disable-gpu --disable-quic --no-first-run --disable-sync \
                     --disable-background-networking --disable-component-update --hide-scrollbars";

/// One browser with one page.
#[derive(Debug)]
pub(crate) struct Browser {
    _folder: tempfile::TempDir,
    child: Child,
    pipe: File,
    messages: Receiver<Value>,
    session: String,
    next: u64,
    /// What the page said on its console, or the browser about it.
    complaints: Vec<Value>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        output(Command::new("mkfifo").args([&to, &from]));
        let script = format!(
            "exec \"$(command -v chromium || command -v chromium-browser || command -v google-chrome)\" \
             {QUIET} --user-data-dir=\"$3\" --remote-debugging-pipe 3<\"$1\" 4>\"$2\" about:blank"
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &script, "browser"]).args([&to, &from]).arg(folder.path().join("profile"));
        let log = File::create(folder.path().join("log")).unwrap();
        let child = bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let pipe = File::options().write(true).open(&to).unwrap();
        let answers = File::open(&from).unwrap();
        let (sender, messages) = sync_channel(1024);
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let complaints = Vec::new();
        let mut browser =
            Self { _folder: folder, child, pipe, messages, session: String::new(), next: 0, complaints };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// One command and its answer. What happens meanwhile is kept if it is a complaint.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.pipe.write_all(format!("{message}\0").as_bytes()).unwrap();
        let id = Value::from(self.next);
        let answer = self.wait(method, |message| message["id"] == id);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn wait(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("{what}: {error}\nhint: these tests need a Chromium (Debian: chromium)")
            });
            if is(&message) {
                return message;
            }
            let complaint = match message["method"].as_str().unwrap_or_default() {
                "Log.entryAdded" => Some(&message["params"]["entry"]),
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => Some(&message["params"]),
                _ => None,
            };
            self.complaints.extend(complaint.cloned());
        }
    }

    /// Opens a file in a window of this width, light or dark.
    pub(crate) fn open(&mut self, file: &Path, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", &scheme);
        self.ask("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        self.wait("loading", |message| message["method"] == "Page.loadEventFired");
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let found = self.ask("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Presses a key: `Tab`, `Enter`.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = if key == "Enter" { (13, "\r") } else { (9, "") };
        let event = |kind: &str| json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.ask("Input.dispatchKeyEvent", &event("keyDown"));
        self.ask("Input.dispatchKeyEvent", &event("keyUp"));
    }

    /// Takes a picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let taken =
            self.ask("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true}));
        let engine = base64::engine::general_purpose::STANDARD;
        std::fs::write(file, engine.decode(taken["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// What a good page holds, on every screen: it complains of nothing, loads nothing, and does not scroll sideways.
    pub(crate) fn assert_good(&mut self, page: &Path, name: &str) {
        for (width, scheme) in [(1200, "light"), (1200, "dark"), (360, "light")] {
            self.open(page, width, scheme);
            let found = self.value("document.documentElement.scrollWidth");
            assert!(found.as_u64().unwrap() <= u64::from(width), "{found} pixels at {width}");
            let loaded = self.value("performance.getEntriesByType('resource').length");
            assert_eq!(loaded, 0, "it loads something");
            let colors = self.value("getComputedStyle(document.body).backgroundColor");
            let dark = colors == "rgb(20, 23, 26)";
            assert_eq!(dark, scheme == "dark", "{colors}");
            let picture = format!("{}/{name}-{width}-{scheme}.png", env!("CARGO_TARGET_TMPDIR"));
            self.picture(Path::new(&picture));
            let taken = std::fs::metadata(&picture).unwrap().len();
            assert!(taken > 10_000, "{picture} is empty");
        }
        // Who has no mouse: the first stop leads past everything, and what is folded opens.
        self.open(page, 1200, "light");
        self.press("Tab");
        assert_eq!(self.value("document.activeElement.className"), "skip");
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(self.value(outline), "solid", "the focus can be seen");
        self.press("Enter");
        assert_eq!(self.value("document.activeElement.id"), "main");
        let missing = self.value(
            "[...document.querySelectorAll('svg')].filter(svg => !svg.querySelector('title') || !svg.querySelector('desc')).length \
             + [...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size",
        );
        assert_eq!(missing, 0, "drawings without words, or an id twice");
        assert_eq!(self.complaints, Vec::<Value>::new());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its pipe would end it, too, but not at once.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
