//! Listens to an operation and shows it: a bar with bytes, rows, rate and time left on a terminal, a plain line every
//! ten seconds elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::{Printer, Verbosity, human_bytes, human_count};
use crate::event::{Event, Observer};

/// How often a plain line is written where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The bar of work whose size is known.
const WITH_TOTAL: &str =
    "{msg:20} {bar:25} {bytes}/{total_bytes} · {prefix} rows · {bytes_per_sec} · {eta} left";

/// The bar until then, which is to the end where nobody knows beforehand how much of an archive is read.
const WITHOUT_TOTAL: &str = "{msg:20} {spinner} {bytes} · {prefix} rows · {elapsed}";

/// Shows what an operation says.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    bar: Option<ProgressBar>,
    rows: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// A listener; `bar` is whether a bar is wanted where there is a terminal.
    pub fn new(printer: Printer, bar: bool) -> Arc<Self> {
        let terminal = bar && printer.verbosity >= Verbosity::Normal && std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template(WITHOUT_TOTAL) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Arc::new(Self {
            printer,
            bar,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            last_line: Mutex::new(Instant::now()),
        })
    }

    /// Takes the bar away, so that results can follow.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn aside(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    fn progress(&self, bytes: u64, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes_done = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = self.total.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_prefix(human_count(rows));
            return;
        }
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PLAIN_EVERY {
            *last = Instant::now();
            let done = human_bytes(bytes_done);
            let all = if total > 0 { format!(" of about {}", human_bytes(total)) } else { String::new() };
            self.printer.info(&format!("{done}{all}, {} rows", human_count(rows)));
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Phase { name } => match &self.bar {
                Some(bar) => bar.set_message(name),
                None => self.printer.detail(name),
            },
            Event::Total { bytes, .. } => {
                self.total.store(bytes, Ordering::Relaxed);
                if let Some(bar) = &self.bar {
                    bar.set_length(bytes);
                    if let Ok(style) = ProgressStyle::with_template(WITH_TOTAL) {
                        bar.set_style(style.progress_chars("━╸ "));
                    }
                }
            }
            Event::Progress { bytes, rows } => self.progress(bytes, rows),
            Event::Done { what, seconds } => {
                self.aside(|| self.printer.detail(&format!("{what}: {seconds:.2} s")));
            }
            Event::Step { work, object, seconds, .. } => {
                self.aside(|| self.printer.detail(&format!("{work} {object}: {seconds:.2} s")));
            }
            Event::Warning { message } => self.aside(|| self.printer.warning(&message)),
            Event::Notice { message } => self.aside(|| self.printer.info(&message)),
            Event::Info { message } => self.aside(|| self.printer.detail(&message)),
        }
    }
}
