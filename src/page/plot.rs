//! Values over time: lines of points, perhaps with a target.

use jiff::Timestamp;

use super::html::{escape, items};
use super::svg::{CLOSING, LEFT, RIGHT, opening};

/// Where the axis of time lies.
const FLOOR: f64 = 190.0;
/// The least distance of the plot from the upper edge.
const CEILING: f64 = 14.0;
const HEIGHT: f64 = 216.0;
/// Room at both ends of the axis, so that no point is cut.
const MARGIN: f64 = 16.0;
/// Labels of the axis of time.
const DATES: u8 = 4;
/// Points of a line that are drawn as such; with more, the line alone is.
const POINTS: usize = 120;

/// One value.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
    /// What it says when it is pointed at.
    pub(crate) said: String,
    /// It is told as a failure.
    pub(crate) failed: bool,
}

/// Values that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What they are; empty where there is only one line.
    pub(crate) name: String,
    /// The class of their colour.
    pub(crate) class: &'static str,
    /// In the order of time.
    pub(crate) points: Vec<Point>,
}

/// A drawing.
pub(crate) struct Plot<'a> {
    /// Its own on the page: letters, digits, hyphens.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) lines: &'a [Line],
    /// A value that should not be exceeded.
    pub(crate) target: Option<f64>,
    /// How a value is written.
    pub(crate) figure: fn(f64) -> String,
    /// Round numbers are those of powers of 1024.
    pub(crate) binary: bool,
}

/// From moments and values to coordinates.
struct Scale {
    from: f64,
    span: f64,
    top: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let width = RIGHT - LEFT - 2.0 * MARGIN;
        if self.span > 0.0 {
            LEFT + MARGIN + (seconds(at) - self.from) / self.span * width
        } else {
            f64::midpoint(LEFT, RIGHT)
        }
    }

    fn y(&self, value: f64) -> f64 {
        FLOOR - value / self.top * (FLOOR - CEILING)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

impl Plot<'_> {
    /// Draws it. Nothing where there is no point.
    pub(crate) fn draw(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let (from, to) = (points().map(|point| point.at).min()?, points().map(|point| point.at).max()?);
        let highest = points().map(|point| point.value).fold(0.0, f64::max);
        // A target far above all would flatten them.
        let target = self.target.filter(|target| *target <= highest * 4.0);
        let top = self.top(target.unwrap_or(0.0).max(highest) * 1.05);
        let scale = Scale { from: seconds(from), span: seconds(to) - seconds(from), top };
        let mut svg = opening(HEIGHT, self.id, self.title, self.description);
        self.grid(&scale, &mut svg);
        dates(&scale, from, to, &mut svg);
        if let Some(target) = target {
            let y = scale.y(target);
            svg.push_str(&format!(
                "<line class=\"target\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/><text class=\"badtext\" x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">target {}</text>",
                y - 4.0,
                escape(&(self.figure)(target))
            ));
        }
        for line in self.lines {
            draw_line(line, &scale, &mut svg);
        }
        svg.push_str(CLOSING);
        let named = self.lines.iter().filter(|line| !line.name.is_empty() && !line.points.is_empty());
        let legend =
            items(named.map(|line| format!("<i class=\"{}\"></i>{}", line.class, escape(&line.name))));
        if !legend.is_empty() {
            svg.push_str(&format!("<ul class=\"legend\">{legend}</ul>"));
        }
        Some(svg)
    }

    /// The round number that the axis of values ends at.
    fn top(&self, highest: f64) -> f64 {
        let unit = if self.binary { 1024.0_f64.powf(highest.max(1.0).log(1024.0).floor()) } else { 1.0 };
        round_up(highest / unit) * unit
    }

    fn grid(&self, scale: &Scale, svg: &mut String) {
        for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let (value, y) = (scale.top * part, scale.y(scale.top * part));
            svg.push_str(&format!(
                "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/><text class=\"dimtext\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&if value == 0.0 { "0".to_owned() } else { (self.figure)(value) })
            ));
        }
    }
}

/// A little more, with at most two digits: axes end at round numbers.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10.0_f64.powf(value.log10().floor());
    let digits = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0];
    let lead = digits.into_iter().find(|digit| digit * magnitude >= value).unwrap_or(10.0);
    lead * magnitude
}

fn dates(scale: &Scale, from: Timestamp, to: Timestamp, svg: &mut String) {
    let span = to.duration_since(from);
    let count = if span.is_zero() { 1 } else { DATES };
    let form = if span.as_hours() >= 48 { "%Y-%m-%d" } else { "%m-%d %H:%M" };
    for number in 0..count {
        let part = span.as_secs_f64() * f64::from(number) / f64::from(count.saturating_sub(1).max(1));
        let Ok(at) = jiff::SignedDuration::try_from_secs_f64(part).map(|part| from.saturating_add(part))
        else {
            continue;
        };
        let Ok(at) = at else { continue };
        let x = scale.x(at);
        // Those at the ends stay within the frame.
        let anchor = match number {
            _ if count == 1 => "middle",
            0 => "start",
            _ if number + 1 == count => "end",
            _ => "middle",
        };
        svg.push_str(&format!(
            "<line class=\"tick\" x1=\"{x:.1}\" y1=\"{FLOOR}\" x2=\"{x:.1}\" y2=\"{:.0}\"/><text class=\"dimtext\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>",
            FLOOR + 4.0,
            FLOOR + 18.0,
            at.strftime(form)
        ));
    }
}

fn draw_line(line: &Line, scale: &Scale, svg: &mut String) {
    let places: Vec<String> = line
        .points
        .iter()
        .map(|point| format!("{:.1},{:.1}", scale.x(point.at), scale.y(point.value)))
        .collect();
    svg.push_str(&format!("<polyline class=\"line {}\" points=\"{}\"/>", line.class, places.join(" ")));
    let few = line.points.len() <= POINTS;
    for point in line.points.iter().filter(|point| few || point.failed) {
        let (x, y) = (scale.x(point.at), scale.y(point.value));
        let mark = if point.failed {
            let (left, top) = (x - 4.5, y - 4.5);
            format!("<path class=\"cross\" d=\"M{left:.1} {top:.1}l9 9m0 -9l-9 9\"/>")
        } else {
            format!("<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>", line.class)
        };
        svg.push_str(&format!("<g><title>{}</title>{mark}</g>", escape(&point.said)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(i64, f64)], target: Option<f64>) -> Option<String> {
        let points = points.iter().map(|(at, value)| Point {
            at: Timestamp::from_second(*at).unwrap(),
            value: *value,
            said: format!("<{value}>"),
            failed: false,
        });
        let lines = [Line { name: String::new(), class: "load", points: points.collect() }];
        let figure = |value: f64| format!("{value:.0}");
        Plot { id: "p", title: "T", description: "D", lines: &lines, target, figure, binary: false }.draw()
    }

    #[test]
    fn points_lie_within_the_frame_and_names_are_escaped() {
        assert_eq!(plot(&[], None), None);
        let drawn = plot(&[(0, 1.0), (86_400, 97.0)], Some(50.0)).unwrap();
        assert!(
            drawn.contains("&lt;97&gt;") && drawn.contains(">target 50<") && drawn.contains(">120<"),
            "{drawn}"
        );
        assert!(!plot(&[(0, 1.0)], Some(50.0)).unwrap().contains("target"), "far above all");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let rounded = [0.0, 0.9, 97.0, 1301.0].map(|value| format!("{:.1}", round_up(value)));
        assert_eq!(rounded, ["1.0", "1.0", "100.0", "1600.0"]);
    }
}
