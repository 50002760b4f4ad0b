//! Drawings: the timeline of a restore, its time against the target, and the history. Inline SVG with styles of the page, a
//! title for whoever hovers and a description for whoever does not see it.

use crate::drill::quick::OPENING;
use crate::drill::record::Record;
use crate::drill::register::Entry;
use crate::drill::text;
use crate::drill::timeline::{Phase, Step};
use crate::page::html::escape;
use crate::page::plot::{Line, Plot, Point};
use crate::page::svg::{CLOSING, LEFT, RIGHT, WIDTH, opening};

/// Height of a lane.
const LANE: f64 = 24.0;

/// The phases of a recovery, as a restore calls them.
const RECOVERY: [&str; 7] = [
    OPENING,
    "planning",
    "restoring roles and tablespaces",
    "creating",
    "loading",
    "finishing",
    "proving the content",
];

/// Kinds of work that have a colour of their own: the class, and what it is called.
pub(super) const LEGEND: [(&str, &str); 8] = [
    ("load", "rows"),
    ("index", "indexes"),
    ("key", "primary and unique keys"),
    ("fk", "foreign keys"),
    ("analyze", "statistics"),
    ("fill", "materialized views"),
    ("prove", "proof"),
    ("other", "other"),
];

pub(super) fn class_of(work: &str) -> &'static str {
    match work {
        "load" => "load",
        "prove" => "prove",
        "analyze" => "analyze",
        "fill" => "fill",
        "index" => "index",
        "foreign key" => "fk",
        "key constraint" | "constraint" | "table constraint" => "key",
        _ => "other",
    }
}

/// The phases of the restore itself: the recovery without what comes long before it in a drill, which reads the whole archive
/// in between.
pub(super) fn restoring(record: &Record) -> Vec<&Phase> {
    recovery(record).into_iter().filter(|phase| phase.name != OPENING).collect()
}

/// The phases that are part of the recovery.
pub(super) fn recovery(record: &Record) -> Vec<&Phase> {
    record.phases.iter().filter(|phase| RECOVERY.contains(&phase.name.as_str())).collect()
}

/// A scale from seconds to coordinates.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    span: f64,
}

impl Scale {
    fn x(self, seconds: f64) -> f64 {
        LEFT + (seconds - self.from) / self.span * (RIGHT - LEFT)
    }
}

/// About eight round steps of an axis.
fn tick(span: f64) -> f64 {
    const ROUND: [f64; 17] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    ];
    ROUND.into_iter().find(|step| span / step <= 9.0).unwrap_or(span / 8.0)
}

/// What ran when on which connection. Nothing without steps.
pub(super) fn timeline(record: &Record) -> Option<String> {
    let phases = restoring(record);
    let from = phases.first()?.began;
    let to = phases.iter().map(|phase| phase.began + phase.seconds).fold(from, f64::max);
    let scale = Scale { from, span: (to - from).max(0.001) };
    let workers = record.steps.iter().map(|step| step.worker).max().unwrap_or(0) + 1;
    let height = LANE * (f64::from(workers) + 1.0) + 44.0;
    let description = format!(
        "{} steps on {workers} connections in {}; the phases: {}. The same is listed in the tables below.",
        record.steps_total,
        text::seconds(to - from),
        phases
            .iter()
            .map(|phase| format!("{} {}", phase.name, text::seconds(phase.seconds)))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let mut svg = opening(height, "timeline", "Timeline of the restore", &description);
    svg.push_str(&axis(scale, height - 22.0, from));
    svg.push_str(&format!("<text x=\"4\" y=\"{:.0}\" class=\"dimtext\">phase</text>", LANE * 0.65));
    for (at, phase) in phases.iter().enumerate() {
        let (x, end) = (scale.x(phase.began), scale.x(phase.began + phase.seconds));
        let (shade, width) = (if at % 2 == 0 { 0.16 } else { 0.3 }, (end - x).max(0.5));
        svg.push_str(&format!(
            "<g><title>{0}: {1}</title><rect class=\"other\" fill-opacity=\"{shade}\" x=\"{x:.2}\" y=\"2\" width=\"{width:.2}\" height=\"{2:.0}\"/>",
            escape(&phase.name), text::seconds(phase.seconds), LANE - 5.0
        ));
        svg.push_str(&label(&phase.name, x, width, LANE * 0.65, ""));
        svg.push_str("</g>");
    }
    for worker in 0..workers {
        let y = LANE * (f64::from(worker) + 1.0);
        svg.push_str(&format!(
            "<text x=\"4\" y=\"{:.0}\" class=\"dimtext\">connection {}</text>",
            y + LANE * 0.65,
            worker + 1
        ));
        for step in record.steps.iter().filter(|step| step.worker == worker) {
            svg.push_str(&bar(step, scale, y));
        }
    }
    svg.push_str(CLOSING);
    Some(svg)
}

fn bar(step: &Step, scale: Scale, y: f64) -> String {
    let (x, end) = (scale.x(step.began), scale.x(step.began + step.seconds));
    let (x, width) = (x.max(LEFT), (end - x.max(LEFT)).max(0.6));
    format!(
        "<g><title>{0} {1}: {2}</title><rect class=\"s {3}\" x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{4:.0}\" rx=\"1.5\"/>{5}</g>",
        escape(&step.work),
        escape(&step.object),
        text::seconds(step.seconds),
        class_of(&step.work),
        LANE - 4.0,
        label(&step.object, x, width, y + LANE * 0.62, "in")
    )
}

/// As much of a name as there is room for.
fn label(name: &str, x: f64, width: f64, y: f64, class: &str) -> String {
    let name: Vec<char> = name.chars().collect();
    let mut room = 0;
    while room < name.len() && (text::float(u64::try_from(room).unwrap_or(0)) + 1.0) * 6.2 + 8.0 <= width {
        room += 1;
    }
    if room < name.len().min(4) {
        return String::new();
    }
    let shown: String = name.iter().take(room).collect();
    let shown = if room < name.len() {
        format!("{}…", shown.chars().take(room.saturating_sub(1)).collect::<String>())
    } else {
        shown
    };
    format!("<text class=\"{class}\" x=\"{:.2}\" y=\"{y:.1}\">{}</text>", x + 4.0, escape(&shown))
}

fn axis(scale: Scale, y: f64, from: f64) -> String {
    let step = tick(scale.span);
    let mut svg = format!("<line class=\"axis\" x1=\"{LEFT}\" y1=\"{y:.0}\" x2=\"{RIGHT}\" y2=\"{y:.0}\"/>");
    let mut at = 0.0;
    while at <= scale.span {
        let x = scale.x(from + at);
        svg.push_str(&format!(
            "<line class=\"axis\" x1=\"{x:.1}\" y1=\"0\" x2=\"{x:.1}\" y2=\"{0:.0}\"/><text class=\"dimtext\" x=\"{x:.1}\" y=\"{1:.0}\" text-anchor=\"middle\">{2}</text>",
            y + 4.0,
            y + 17.0,
            axis_time(at)
        ));
        at += step;
    }
    svg
}

/// A time at an axis: no more digits than it has.
fn axis_time(seconds: f64) -> String {
    if seconds >= 60.0 {
        return text::seconds(seconds);
    }
    format!("{} s", (seconds * 100.0).round() / 100.0)
}

/// The recovery time as a bar of its phases, and the target as a line.
pub(super) fn against_target(record: &Record) -> Option<String> {
    let measured = record.rto.measured_seconds?;
    let target = record.rto.target_seconds;
    let scale = Scale { from: 0.0, span: target.max(measured).max(0.001) * 1.04 };
    let description = format!("{} measured, {} wanted", text::seconds(measured), text::seconds(target));
    let mut svg = opening(72.0, "rto", "Recovery time against the target", &description);
    svg.push_str(&axis(scale, 48.0, 0.0));
    svg.push_str("<text x=\"4\" y=\"28\" class=\"dimtext\">measured</text>");
    let mut at = 0.0;
    for (number, phase) in recovery(record).iter().enumerate() {
        let (x, end) = (scale.x(at), scale.x((at + phase.seconds).min(measured)));
        let class = ["analyze", "other", "load", "fill", "prove"].get(number % 5).copied().unwrap_or("other");
        svg.push_str(&format!(
            "<g><title>{}: {}</title><rect class=\"s {class}\" x=\"{x:.2}\" y=\"12\" width=\"{:.2}\" height=\"24\"/></g>",
            escape(&phase.name),
            text::seconds(phase.seconds),
            (end - x).max(0.6)
        ));
        at += phase.seconds;
    }
    let x = scale.x(target);
    let (anchor, beside) = if x > WIDTH * 0.8 { ("end", x - 5.0) } else { ("start", x + 5.0) };
    svg.push_str(&format!(
        "<line class=\"target\" x1=\"{x:.1}\" y1=\"2\" x2=\"{x:.1}\" y2=\"48\"/><text x=\"{beside:.1}\" y=\"11\" text-anchor=\"{anchor}\">target {}</text>",
        text::seconds(target)
    ));
    let after = scale.x(measured) + 6.0;
    if after < WIDTH * 0.75 {
        svg.push_str(&format!("<text x=\"{after:.1}\" y=\"28\">{}</text>", text::seconds(measured)));
    }
    svg.push_str(CLOSING);
    Some(svg)
}

/// The recovery times of the drills so far. Nothing for a single one.
pub(super) fn history(entries: &[Entry]) -> Option<String> {
    let point = |entry: &Entry| {
        let value = entry.rto_measured_seconds?;
        let said = format!("{}: {}, {}", entry.at.strftime("%Y-%m-%d"), text::seconds(value), entry.result);
        Some(Point { at: entry.at, value, said, failed: !entry.is_passed() })
    };
    let points: Vec<Point> = entries.iter().filter_map(point).collect();
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < 2 {
        return None;
    }
    let description = format!(
        "{} drills from {} to {}; the last took {}. The same is listed in the table below.",
        points.len(),
        first.at.strftime("%Y-%m-%d"),
        last.at.strftime("%Y-%m-%d"),
        text::seconds(last.value)
    );
    let target = entries.iter().map(|entry| entry.rto_target_seconds).fold(0.0, f64::max);
    let lines = [Line { name: String::new(), class: "load", points }];
    Plot {
        id: "history",
        title: "Recovery times of the drills so far",
        description: &description,
        lines: &lines,
        target: Some(target),
        figure: text::seconds,
        binary: false,
    }
    .draw()
}
