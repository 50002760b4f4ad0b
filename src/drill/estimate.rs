//! Forecasts: what rates are known, how far they are to be trusted, and what follows from them for an archive.

use serde::Serialize;

use super::evidence::Mark;
use super::record::{ForecastFacts, TestType};
use crate::error::Result;
use crate::opened::OpenArchive;
use crate::plan::forecast::{Line, Rates};
use crate::restore::{self, Forecast, Wanted};

/// So many of the last drills say how far forecasts are to be trusted.
const DRILLS: usize = 5;

/// Forecasts from a drill of the same database differ by so much, until drills have told better.
const SAME: f64 = 0.35;
/// Those from a drill of another database, or a calibration.
const OTHER: f64 = 0.6;
/// Those from nothing but experience with other machines.
const ROUGH: f64 = 2.0;
/// None is trusted more than this.
const LEAST: f64 = 0.1;

/// By how much a forecast was off, either way: 1.0 is half or twice as long as it took. `error` is a share of what was measured,
/// by which a forecast of nothing would be off by no more than 1.
fn factor(error: f64) -> f64 {
    if error < 0.0 { 1.0 / (1.0 + error).max(0.05) - 1.0 } else { error }
}

/// What a forecast stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// The rates.
    pub rates: Rates,
    /// Where they come from, in words.
    pub told: String,
    /// By how much a forecast may be off: 0.5 is from two thirds to one and a half.
    pub error: f64,
}

/// A forecast, with its error shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The forecast.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// Not less, most likely.
    pub low_seconds: f64,
    /// Not more, most likely.
    pub high_seconds: f64,
    /// What it stands on.
    pub basis: String,
}

impl Basis {
    /// The last drill that was measured: of the same database if there is one, and of all of it rather than of some tables, by
    /// which the whole cannot be told. `marks` come the oldest first.
    pub fn of_drills(marks: &[Mark], database: &str) -> Option<Self> {
        let measured =
            |same: bool| marks.iter().rev().filter(move |mark| !same || mark.entry.database == database);
        let whole = |mark: &&Mark| mark.entry.kind == TestType::Full;
        let found = |same: bool| {
            let rates = |mark: &'_ Mark| mark.rates.clone();
            let of_all = measured(same).filter(whole).find_map(|mark| Some((mark, rates(mark)?)));
            of_all.or_else(|| measured(same).find_map(|mark| Some((mark, rates(mark)?))))
        };
        let (same, (mark, rates)) =
            found(true).map(|found| (true, found)).or_else(|| Some((false, found(false)?)))?;
        let errors: Vec<f64> = measured(true)
            .filter(whole)
            .filter_map(|mark| mark.forecast_error)
            .take(DRILLS)
            .map(factor)
            .collect();
        let mean = errors.iter().sum::<f64>()
            / super::text::float(u64::try_from(errors.len()).unwrap_or(1)).max(1.0);
        let error = match (errors.is_empty(), same) {
            (false, _) => (mean * 1.5).max(LEAST),
            (true, true) => SAME,
            (true, false) => OTHER,
        };
        let day = mark.entry.at.strftime("%Y-%m-%d");
        let of = if same { "this database" } else { "another database" };
        let told = format!("the drill of {of} on {day}, on {}", mark.entry.who.host);
        Some(Self { rates, told, error })
    }

    /// Rates that a calibration measured.
    pub fn of_calibration(rates: Rates) -> Self {
        Self { rates, told: "a calibration on this machine".to_owned(), error: OTHER }
    }

    /// What small machines do: better than nothing.
    pub fn rough() -> Self {
        // Seconds a MiB of the plan's cost, on one of two connections of a machine with two processors.
        let works = [
            ("load", 0.028),
            ("prove", 0.011),
            ("index", 0.06),
            ("key constraint", 0.05),
            ("foreign key", 0.04),
            ("analyze", 0.02),
            ("fill", 0.05),
        ];
        let line = |mib: f64| Line { fixed: 0.004, per_byte: mib / 1_048_576.0, samples: 0 };
        let rates = Rates {
            works: works.into_iter().map(|(work, mib)| (work.to_owned(), line(mib))).collect(),
            starting_seconds: 0.4,
            definition_seconds: 0.002,
            finishing_seconds: 0.001,
            whole: Line { fixed: 0.5, per_byte: 0.035 / 1_048_576.0, samples: 0 },
            jobs: 2,
            processors: 2,
        };
        Self {
            rates,
            told: "experience with other machines: a drill makes it better".to_owned(),
            error: ROUGH,
        }
    }

    /// Less and more than a forecast.
    fn band(&self, seconds: f64) -> (f64, f64) {
        (seconds / (1.0 + self.error), seconds * (1.0 + self.error))
    }

    /// What a restore of an archive would take.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub async fn estimate(&self, archive: &OpenArchive, wanted: &Wanted, jobs: usize) -> Result<Estimate> {
        let forecast = restore::forecast(wanted, jobs, archive, &self.rates).await?;
        let (low_seconds, high_seconds) = self.band(forecast.seconds);
        Ok(Estimate { forecast, low_seconds, high_seconds, basis: self.told.clone() })
    }

    /// What a restore would take of which only the size is known.
    pub fn by_size(&self, plain_bytes: u64) -> ForecastFacts {
        let seconds = self.rates.whole.at(plain_bytes);
        let (low_seconds, high_seconds) = self.band(seconds);
        ForecastFacts { seconds, low_seconds, high_seconds, basis: self.told.clone(), error: None }
    }
}

impl Estimate {
    /// As the record of a drill tells it, before the measurement.
    pub fn facts(&self) -> ForecastFacts {
        ForecastFacts {
            seconds: self.forecast.seconds,
            low_seconds: self.low_seconds,
            high_seconds: self.high_seconds,
            basis: self.basis.clone(),
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark(database: &str, kind: &str, error: Option<f64>, jobs: u32) -> Mark {
        let rates = Rates { jobs, ..Rates::default() };
        let text = json!({
            "at": "2026-11-25T00:00:00Z", "type": kind, "result": "passed", "database": database, "archive": "x", "archive_id": "x",
            "pass_rate": 1.0, "rto_target_seconds": 1.0, "rto_measured_seconds": 1.0, "age_seconds": 1.0, "issues": [],
            "next_due": "2026-11-25T00:00:00Z", "operator": "x", "host": "x", "tool": "x", "rows": 1, "plain_bytes": 1,
            "forecast_error": error, "rates": rates,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_drill_of_all_of_the_same_database_says_most() {
        let marks = [
            mark("other", "full", None, 1),
            mark("shop", "full", None, 2),
            mark("shop", "tables", Some(5.0), 3),
            mark("third", "tables", None, 4),
        ];
        let jobs = |database: &str| Basis::of_drills(&marks, database).map(|basis| basis.rates.jobs);
        assert_eq!([jobs("shop"), jobs("third"), jobs("new")], [Some(2), Some(4), Some(2)]);
        assert_eq!(Basis::of_drills(&marks, "shop").map(|basis| basis.error), Some(SAME));
        assert_eq!(Basis::of_drills(&[], "shop"), None);
    }

    #[test]
    fn a_forecast_that_was_too_short_widens_the_band_as_much_as_one_that_was_too_long() {
        let error = |error| Basis::of_drills(&[mark("shop", "full", Some(error), 2)], "shop").unwrap().error;
        // A third of what it took, and three times as long.
        assert!((error(-2.0 / 3.0) - error(2.0)).abs() < 1e-9);
        assert!((error(2.0) - 3.0).abs() < 1e-9 && (error(0.01) - LEAST).abs() < 1e-9);
    }
}
