//! When what runs, as the files of those who run it: cron, systemd, GitHub Actions, Kubernetes. Pure: a plan in, texts out.

mod cron;
mod github;
mod kubernetes;
mod systemd;

pub use cron::crontab;
pub use github::workflow;
pub use kubernetes::cron_jobs;
pub use systemd::units;

/// A moment that comes again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Each hour at this minute.
    Hourly {
        /// 0 to 59.
        minute: u8,
    },
    /// Each day.
    Daily(Time),
    /// Each week.
    Weekly {
        /// 0 is Sunday.
        weekday: u8,
        /// At this time.
        at: Time,
    },
    /// Each month.
    Monthly {
        /// 1 to 28: days that each month has.
        day: u8,
        /// At this time.
        at: Time,
    },
    /// In January, April, July and October.
    Quarterly {
        /// 1 to 28.
        day: u8,
        /// At this time.
        at: Time,
    },
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl Time {
    /// `03:15`
    fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |digits: &str, most: u8| {
            let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|number| two && *number <= most)
        };
        Some(Self { hour: number(hour, 23)?, minute: number(minute, 59)? })
    }
}

impl When {
    /// Each day at `03:15`.
    pub fn daily(text: &str) -> Option<Self> {
        Time::parse(text).map(Self::Daily)
    }

    /// Each week: `Sun 03:45`.
    pub fn weekly(text: &str) -> Option<Self> {
        let (day, at) = text.split_once(' ')?;
        let weekday = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(day))?;
        Some(Self::Weekly { weekday: u8::try_from(weekday).ok()?, at: Time::parse(at)? })
    }

    /// Each month: `1 04:15`.
    pub fn monthly(text: &str) -> Option<Self> {
        let (day, at) = day_and_time(text)?;
        Some(Self::Monthly { day, at })
    }

    /// Each quarter: `2 05:00` of its first month.
    pub fn quarterly(text: &str) -> Option<Self> {
        let (day, at) = day_and_time(text)?;
        Some(Self::Quarterly { day, at })
    }

    /// Each hour: `:50`.
    pub fn hourly(text: &str) -> Option<Self> {
        let Time { minute, .. } = Time::parse(&format!("00{text}"))?;
        Some(Self::Hourly { minute })
    }

    /// The five fields of cron.
    pub(super) fn cron(self) -> String {
        match self {
            Self::Hourly { minute } => format!("{minute} * * * *"),
            Self::Daily(at) => format!("{} {} * * *", at.minute, at.hour),
            Self::Weekly { weekday, at } => format!("{} {} * * {weekday}", at.minute, at.hour),
            Self::Monthly { day, at } => format!("{} {} {day} * *", at.minute, at.hour),
            Self::Quarterly { day, at } => format!("{} {} {day} 1,4,7,10 *", at.minute, at.hour),
        }
    }
}

fn day_and_time(text: &str) -> Option<(u8, Time)> {
    let (day, at) = text.split_once(' ')?;
    let day = day.parse().ok().filter(|day| (1..=28).contains(day))?;
    Some((day, Time::parse(at)?))
}

/// One thing that runs.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it is, for names of units: `daily-shop`.
    pub name: String,
    /// What it is, in words.
    pub about: String,
    /// When.
    pub when: When,
    /// The arguments of the program.
    pub args: Vec<String>,
    /// More of them where the machine's disk is gone after the run.
    pub fleeting: Vec<String>,
}

/// All that runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program, whole.
    pub program: String,
    /// The configuration file, whole, if there is one.
    pub config: Option<String>,
    /// The variables that the configuration takes secrets from.
    pub variables: Vec<String>,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The container image, for those who run containers.
    pub image: String,
}

impl Plan {
    /// As [`Plan::arguments`], for a machine whose disk is gone after the run.
    fn fleeting<'a>(&'a self, job: &'a Job, config: &'a str) -> Vec<&'a str> {
        let more = job.fleeting.iter().map(String::as_str);
        self.arguments(job, Some(config)).into_iter().chain(more).collect()
    }

    /// The arguments of a job with the configuration file.
    fn arguments<'a>(&'a self, job: &'a Job, config: Option<&'a str>) -> Vec<&'a str> {
        let config = config.or(self.config.as_deref());
        let config = config.into_iter().flat_map(|file| ["--config", file]);
        job.args.iter().map(String::as_str).chain(config).collect()
    }
}

/// A word for a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let cron = |when: Option<When>| when.map(When::cron);
        assert_eq!(cron(When::daily("03:15")).as_deref(), Some("15 3 * * *"));
        assert_eq!(cron(When::weekly("sun 23:05")).as_deref(), Some("5 23 * * 0"));
        assert_eq!(cron(When::monthly("1 00:00")).as_deref(), Some("0 0 1 * *"));
        assert_eq!(cron(When::quarterly("28 05:30")).as_deref(), Some("30 5 28 1,4,7,10 *"));
        assert_eq!(cron(When::hourly(":07")).as_deref(), Some("7 * * * *"));
        for wrong in ["3:15", "24:00", "03:60", "0315", "", "03:15 "] {
            assert_eq!(When::daily(wrong), None, "{wrong}");
        }
        assert_eq!(When::monthly("29 04:15"), None);
        assert_eq!(When::weekly("Someday 04:15"), None);
    }
}
