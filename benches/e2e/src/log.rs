//! How long rows and foreign keys took, by the server's own log: the same measure for every contender.

/// Seconds from the first key's begin to the last one's end; statements that took less than what is logged count nothing.
pub(crate) fn foreign_key_phase(log: &str) -> f64 {
    phase(log, |statement| {
        let key = statement.contains("ADD CONSTRAINT") && statement.contains("FOREIGN KEY");
        key || statement.contains("VALIDATE CONSTRAINT")
    })
}

/// Seconds from the begin of the first load of rows to the end of the last one.
pub(crate) fn load_phase(log: &str) -> f64 {
    phase(log, |statement| statement.contains(": COPY ") && statement.contains("FROM STDIN"))
}

/// Seconds from the begin of the first of some statements, given in upper case, to the end of the last one.
fn phase(log: &str, is_meant: impl Fn(&str) -> bool) -> f64 {
    let entries = statements(log).into_iter().filter(|entry| is_meant(&entry.to_uppercase()));
    let spans: Vec<_> = entries.filter_map(|entry| span(&entry)).collect();
    let begin = spans.iter().map(|(begin, _)| *begin).fold(f64::INFINITY, f64::min);
    let end = spans.iter().map(|(_, end)| *end).fold(f64::NEG_INFINITY, f64::max);
    if spans.is_empty() { 0.0 } else { end - begin }
}

/// Log entries; the lines of a statement that go on are part of its entry.
fn statements(log: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in log.lines() {
        match found.last_mut() {
            Some(last) if !line.starts_with("20") => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => found.push(line.to_owned()),
        }
    }
    found
}

/// Begin and end in seconds of the day; an entry is written at the end and says how long it took.
fn span(entry: &str) -> Option<(f64, f64)> {
    let time = entry.split_whitespace().nth(1)?;
    let clock: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = clock.as_slice() else { return None };
    let end = hours.mul_add(3600.0, minutes.mul_add(60.0, *seconds));
    let took: f64 = entry.split_once("duration: ")?.1.split_whitespace().next()?.parse().ok()?;
    Some((end - took / 1000.0, end))
}

#[cfg(test)]
mod tests {
    use super::{foreign_key_phase, load_phase};

    #[test]
    fn keys_in_two_sessions_make_one_phase() {
        let log = "\
2026-11-23 10:00:03.000 UTC [1] a LOG:  duration: 2000.000 ms  statement: ALTER TABLE ONLY t
\tADD CONSTRAINT x FOREIGN KEY (a) REFERENCES b(a);
2026-11-23 10:00:04.500 UTC [2] b LOG:  duration: 3000.000 ms  execute <unnamed>: ALTER TABLE u VALIDATE CONSTRAINT y
2026-11-23 10:00:09.000 UTC [2] b LOG:  duration: 4000.000 ms  statement: CREATE INDEX i ON t (a)";
        assert!((foreign_key_phase(log) - 3.5).abs() < 1e-6);
        assert!(foreign_key_phase("").abs() < 1e-9);
    }

    #[test]
    fn loads_of_both_contenders_are_seen() {
        let log = "\
2026-11-23 10:00:03.000 UTC [1] a LOG:  duration: 2000.000 ms  statement: COPY public.big (a, b) FROM stdin;
2026-11-23 10:00:04.500 UTC [2] b LOG:  duration: 3000.000 ms  execute <unnamed>: COPY \"public\".\"big\" (\"a\") FROM STDIN
2026-11-23 10:00:09.000 UTC [2] b LOG:  duration: 4000.000 ms  statement: COPY public.big TO stdout";
        assert!((load_phase(log) - 3.5).abs() < 1e-6);
    }
}
