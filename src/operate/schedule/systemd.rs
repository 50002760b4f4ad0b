//! Units of systemd: a service and a timer for each job.

use super::{Job, Plan, Time, WEEKDAYS, When};

/// File names and their texts.
pub fn units(plan: &Plan) -> Vec<(String, String)> {
    let of_job = |job: &Job| {
        let name = format!("pgcask-{}", escaped(&job.name));
        [(format!("{name}.service"), service(plan, job)), (format!("{name}.timer"), timer(job))]
    };
    plan.jobs.iter().flat_map(of_job).collect()
}

fn service(plan: &Plan, job: &Job) -> String {
    let words: Vec<String> = std::iter::once(program(&plan.program))
        .chain(plan.arguments(job, None).into_iter().map(word))
        .collect();
    format!(
        "# Written by `pgcask schedule print systemd`.\n\
         [Unit]\n\
         Description=pgcask: {}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={}\n\
         # Variables that the configuration takes secrets from: mode 0600, NAME=value.\n\
         EnvironmentFile=-/etc/pgcask/environment\n\
         # What tests and drills leave goes to backup-tests/ there.\n\
         StateDirectory=pgcask\n\
         WorkingDirectory=/var/lib/pgcask\n\
         Environment=XDG_STATE_HOME=/var/lib\n\
         TimeoutStartSec=infinity\n\
         Nice=10\n\
         NoNewPrivileges=yes\n\
         PrivateTmp=yes\n\
         ProtectSystem=full\n\
         ProtectKernelTunables=yes\n\
         ProtectControlGroups=yes\n",
        job.about.replace('%', "%%"),
        words.join(" "),
    )
}

fn timer(job: &Job) -> String {
    format!(
        "# Written by `pgcask schedule print systemd`. A run that was missed is made up for when the host is up again.\n\
         [Unit]\n\
         Description=pgcask: {}\n\n\
         [Timer]\n\
         OnCalendar={}\n\
         Persistent=true\n\
         RandomizedDelaySec=2min\n\n\
         [Install]\n\
         WantedBy=timers.target\n",
        job.about.replace('%', "%%"),
        calendar(job.when),
    )
}

/// A calendar event (`systemd.time(7)`).
fn calendar(when: When) -> String {
    let time = |Time { hour, minute }: Time| format!("{hour:02}:{minute:02}:00");
    match when {
        When::Hourly { minute } => format!("*-*-* *:{minute:02}:00"),
        When::Daily(at) => format!("*-*-* {}", time(at)),
        When::Weekly { weekday, at } => {
            let day = WEEKDAYS.get(usize::from(weekday)).copied().unwrap_or("Sun");
            format!("{day} *-*-* {}", time(at))
        }
        When::Monthly { day, at } => format!("*-*-{day:02} {}", time(at)),
        When::Quarterly { day, at } => format!("*-01,04,07,10-{day:02} {}", time(at)),
    }
}

/// A word of a command line (`systemd.service(5)`): `%` and `$` stand for themselves when doubled.
fn word(text: &str) -> String {
    quoted(text.replace('%', "%%").replace('$', "$$"))
}

/// The program: variables are not looked for in it, so that `$` is itself.
fn program(text: &str) -> String {
    quoted(text.replace('%', "%%"))
}

fn quoted(text: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A part of a unit's name: other characters as `systemd-escape` writes them.
fn escaped(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    name.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") })
        .collect()
}
