//! Figures as people read them, in reports and logs.

/// Bytes: `1.2 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mut value = float(bytes);
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = "B";
    while value >= 1024.0 {
        let Some(next) = units.next() else { break };
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A count with thousands separated: `6,001,215`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds: `0.34 s`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    let exact = seconds.max(0.0);
    if exact < 1.0 {
        return format!("{exact:.2} s");
    }
    if exact < 59.5 {
        return format!("{exact:.1} s");
    }
    let seconds = exact.round();
    let two = |large: f64, small: f64, names: (&str, &str)| {
        let whole = (seconds / large).floor();
        let rest = ((seconds - whole * large) / small).floor();
        if rest < 1.0 {
            format!("{whole} {}", names.0)
        } else {
            format!("{whole} {} {rest} {}", names.0, names.1)
        }
    };
    if seconds < 3600.0 {
        two(60.0, 1.0, ("min", "s"))
    } else if seconds < 86_400.0 {
        two(3600.0, 60.0, ("h", "min"))
    } else {
        two(86_400.0, 3600.0, ("d", "h"))
    }
}

/// A share as percent: `93 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// How far something is off, as percent with a sign: `+12 %`; `0 %` for next to nothing.
pub fn off(share: f64) -> String {
    let rounded = (share * 100.0).round();
    if rounded == 0.0 { "0 %".to_owned() } else { format!("{rounded:+.0} %") }
}

/// A count as a number to calculate with; what is lost beyond 2^53 is not looked at.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!([bytes(17), bytes(1536), bytes(5 << 30)], ["17 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([off(0.511), off(-0.2), off(-0.001)], ["+51 %", "-20 %", "0 %"]);
        assert_eq!([count(7), count(1234), count(6_001_215)], ["7", "1,234", "6,001,215"]);
        let times = [0.341, 12.34, 59.97, 250.0, 3600.0, 7500.0, 273_600.0].map(seconds);
        assert_eq!(times, ["0.34 s", "12.3 s", "1 min", "4 min 10 s", "1 h", "2 h 5 min", "3 d 4 h"]);
    }
}
