//! The tables: Markdown for people, JSON for machines.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use xtask::Result;

use crate::contest::{Contest, Outcome};
use crate::measure::Cost;

const HEADINGS: &str = "| | wall s [least–most] | client CPU s | server CPU s | others' CPU s | memory MiB | MB written | rows loaded s | foreign keys s |
|---|---|---|---|---|---|---|---|---|
";

/// Above this share of one core for others, walls of the two sides no longer compare.
const NOISE: f64 = 0.2;

/// What one contest's measuring gave.
#[derive(Debug)]
struct Section {
    title: String,
    /// From its heading on.
    markdown: String,
    json: Value,
}

/// What was measured, on what, with what.
#[derive(Debug)]
pub(crate) struct Report {
    header: Vec<(&'static str, String)>,
    /// When.
    date: String,
    sections: Vec<Section>,
}

impl Report {
    /// Begins with the machine, the versions and the day.
    pub(crate) const fn new(header: Vec<(&'static str, String)>, date: String) -> Self {
        Self { header, date, sections: Vec::new() }
    }

    fn introduction(&self) -> String {
        let mut markdown = String::from("# Benchmarks\n\nMade by `cargo xtask bench --write`. ");
        markdown.push_str("Contenders take turns within one run, on one machine that server and client share; numbers are medians.\n");
        markdown.push_str("`pg_dump` does not encrypt; pgcask always does here. `others' CPU` is what processes burned that belong to neither side.\n\n");
        for (name, value) in &self.header {
            let _written = writeln!(markdown, "- {name}: {value}");
        }
        markdown
    }

    /// Adds a contest's table.
    pub(crate) fn add(&mut self, contest: &Contest, outcomes: &[Outcome]) {
        let mut text = format!("\n## {}\n\nMeasured on {}.\n\n{HEADINGS}", contest.title, self.date);
        for outcome in outcomes {
            let _written = writeln!(text, "{}", row(outcome));
        }
        text.push('\n');
        let peers = outcomes.iter().filter(|outcome| contest.ratios && !outcome.ours);
        for (peer, ours) in
            peers.flat_map(|peer| outcomes.iter().filter(|o| o.ours).map(move |ours| (peer, ours)))
        {
            let ratio = |of: fn(&Cost) -> f64| median(peer, of) / median(ours, of);
            let mut line =
                format!("- {}: **{:.2} ×** the speed of {}", ours.label, ratio(|c| c.wall), peer.label);
            let _written = write!(line, ", {:.2} × its client CPU", 1.0 / ratio(|c| c.client));
            if median(ours, |c| c.load) > 0.0 {
                let _written = write!(line, ", rows loaded {:.2} ×", ratio(|c| c.load));
            }
            if median(ours, |c| c.foreign_keys) > 0.0 {
                let _written = write!(line, ", foreign keys {:.2} ×", ratio(|c| c.foreign_keys));
            }
            let _written = writeln!(text, "{line}");
        }
        if outcomes.iter().any(|outcome| median(outcome, |cost| cost.other / cost.wall) > NOISE) {
            text.push_str("- **Noisy**: other processes used the machine meanwhile; compare CPU seconds, not the wall.\n");
        }
        let entries: Vec<_> = outcomes.iter().map(json_of).collect();
        let title = contest.title.clone();
        let json =
            json!({"name": contest.name, "title": title, "measured_on": self.date, "entries": entries});
        self.sections.push(Section { title, markdown: text, json });
    }

    /// The Markdown text.
    pub(crate) fn markdown(&self) -> String {
        self.sections.iter().fold(self.introduction(), |text, section| text + &section.markdown)
    }

    /// Writes `benchmarks.md` and `benchmarks.json`, where contests of earlier runs stay that this one did not hold, in the given
    /// order of titles.
    pub(crate) fn write(&mut self, folder: &Path, order: &[String]) -> Result<()> {
        let (markdown, json) = (folder.join("benchmarks.md"), folder.join("benchmarks.json"));
        let old = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let old_json: Value = serde_json::from_str(&old(&json)).unwrap_or_default();
        let old_markdown = old(&markdown);
        for part in old_markdown.split("\n## ").skip(1) {
            let title = part.lines().next().unwrap_or_default();
            let known = order.iter().any(|name| name == title) && part.contains("\nMeasured on ");
            if !known || self.sections.iter().any(|section| section.title == title) {
                continue;
            }
            let contests = old_json.pointer("/contests").and_then(Value::as_array).into_iter().flatten();
            let Some(json) =
                contests.clone().find(|contest| contest.pointer("/title") == Some(&json!(title)))
            else {
                continue;
            };
            let markdown = format!("\n## {}\n", part.trim_end());
            self.sections.push(Section { title: title.to_owned(), markdown, json: json.clone() });
        }
        self.sections.sort_by_key(|section| order.iter().position(|title| *title == section.title));
        let header: serde_json::Map<_, _> =
            self.header.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let contests: Vec<_> = self.sections.iter().map(|section| &section.json).collect();
        let text = serde_json::to_string_pretty(&json!({"header": header, "contests": contests}))?;
        std::fs::write(json, text + "\n")?;
        std::fs::write(markdown, self.markdown())?;
        Ok(())
    }
}

fn row(outcome: &Outcome) -> String {
    let value = |of: fn(&Cost) -> f64, digits: usize| {
        let median = median(outcome, of);
        if median > 0.0 { format!("{median:.digits$}") } else { "–".to_owned() }
    };
    let walls = outcome.costs.iter().map(|cost| cost.wall);
    let (least, most) = (walls.clone().fold(f64::INFINITY, f64::min), walls.fold(0.0, f64::max));
    format!(
        "| {} | {} [{least:.2}–{most:.2}] | {} | {} | {} | {} | {} | {} | {} |",
        outcome.label,
        value(|c| c.wall, 2),
        value(|c| c.client, 2),
        value(|c| c.server, 2),
        value(|c| c.other, 1),
        value(|c| c.memory, 0),
        value(|c| c.megabytes, 1),
        value(|c| c.load, 1),
        value(|c| c.foreign_keys, 1),
    )
}

fn json_of(outcome: &Outcome) -> Value {
    let runs: Vec<_> = outcome
        .costs
        .iter()
        .map(|cost| {
            json!({
                "wall_seconds": cost.wall, "client_cpu_seconds": cost.client, "server_cpu_seconds": cost.server,
                "other_cpu_seconds": cost.other, "memory_mib": cost.memory, "written_mb": cost.megabytes,
                "load_seconds": cost.load, "foreign_keys_seconds": cost.foreign_keys,
                "output": cost.output.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()),
            })
        })
        .collect();
    json!({"label": outcome.label, "ours": outcome.ours, "runs": runs})
}

/// The middle one, or the mean of the two in the middle.
fn median(outcome: &Outcome, of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<_> = outcome.costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}
