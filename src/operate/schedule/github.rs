//! A workflow of GitHub Actions.

use std::collections::BTreeSet;

use super::{Plan, shell_word};

/// The workflow: one job, whose step is chosen by the schedule that started it. Times are UTC there.
pub fn workflow(plan: &Plan) -> String {
    let mut seen = BTreeSet::new();
    let mut schedules = Vec::new();
    let mut options = Vec::new();
    let mut steps = Vec::new();
    for job in &plan.jobs {
        let cron = job.when.cron();
        if seen.insert(cron.clone()) {
            schedules.push(format!("    - cron: {}\n", quoted(&cron)));
        }
        options.push(format!("          - {}\n", quoted(&job.name)));
        let words: Vec<String> = plan.fleeting(job, "pgcask.toml").into_iter().map(shell_word).collect();
        let command = format!("./pgcask {}", words.join(" "));
        let condition = format!("github.event.schedule == '{cron}' || inputs.job == '{}'", job.name);
        // A job that fails must not keep the next database's from running.
        let condition = format!("!cancelled() && ({condition})");
        steps.push(format!(
            "      - name: {}\n        if: {}\n        run: {}\n",
            quoted(&job.about),
            quoted(&condition),
            quoted(&command)
        ));
    }
    let variable = |name: &String| format!("      {name}: ${{{{ secrets.{name} }}}}\n");
    let variables: Vec<String> = plan.variables.iter().map(variable).collect();
    let [schedules, options, steps, variables] =
        [schedules, options, steps, variables].map(|lines| lines.concat());
    format!(
        "# Written by `pgcask schedule print github-actions`: .github/workflows/pgcask.yml, beside pgcask.toml in the repository.\n\
         # Set the repository's variables PGCASK_URL and PGCASK_SHA256 (where the program is fetched from, and its checksum), and\n\
         # the secrets below. GitHub may start a run late or drop it under load: a dead man's switch ([notify.…], type = \"ping\")\n\
         # notices.\n\
         name: pgcask\n\n\
         on:\n  schedule:\n{schedules}  workflow_dispatch:\n    inputs:\n      job:\n        description: What to run\n        \
         type: choice\n        required: true\n        options:\n{options}\n\
         permissions:\n  contents: read\n\n\
         # Two runs of one schedule never overlap.\n\
         concurrency:\n  group: pgcask-${{{{ github.event.schedule || inputs.job }}}}\n  cancel-in-progress: false\n\n\
         jobs:\n  pgcask:\n    runs-on: ubuntu-latest\n    timeout-minutes: 350\n    env:\n      PGCASK_URL: ${{{{ vars.PGCASK_URL }}}}\n      \
         PGCASK_SHA256: ${{{{ vars.PGCASK_SHA256 }}}}\n{variables}    steps:\n      - uses: actions/checkout@v4\n      \
         - name: Fetch pgcask\n        run: |\n          curl --fail --silent --show-error --location --output pgcask \"$PGCASK_URL\"\n          \
         echo \"$PGCASK_SHA256  pgcask\" | sha256sum --check --strict\n          chmod +x pgcask\n{steps}"
    )
}

/// A string of YAML: JSON's form is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
