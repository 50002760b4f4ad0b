//! A crontab.

use super::{Plan, shell_word};

/// The crontab of the user who backs up.
pub fn crontab(plan: &Plan) -> String {
    let mut text = "# Written by `pgcask schedule print cron`: the crontab of the user who backs up. Times are the host's.\n\
                    # What a run has to say goes to the channels of [notify.…] and to this user's mail.\n"
        .to_owned();
    for job in &plan.jobs {
        let words: Vec<String> =
            std::iter::once(plan.program.as_str()).chain(plan.arguments(job, None)).map(shell_word).collect();
        // In a crontab, % ends the command.
        let command = words.join(" ").replace('%', "\\%");
        text.push_str(&format!("\n# {}\n{} {command} --quiet\n", job.about, job.when.cron()));
    }
    text
}
