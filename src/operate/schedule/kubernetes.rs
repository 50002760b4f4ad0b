//! `CronJob`s of Kubernetes.

use serde_json::{Value, json};

use super::{Job, Plan};

/// Longest name of a `CronJob`: the names of its jobs get eleven characters more, and have 63.
const LONGEST_NAME: usize = 52;

/// One `CronJob` for each job, as documents of one YAML stream (each in JSON's form, which YAML includes).
pub fn cron_jobs(plan: &Plan) -> String {
    let mut text = "# Written by `pgcask schedule print kubernetes`. Times are UTC. They need two secrets:\n\
                    #   kubectl create secret generic pgcask-config --from-file=pgcask.toml\n\
                    #   kubectl create secret generic pgcask-environment --from-env-file=environment\n"
        .to_owned();
    for job in &plan.jobs {
        let document = serde_json::to_string_pretty(&cron_job(plan, job)).unwrap_or_default();
        text.push_str(&format!("---\n# {}\n{document}\n", job.about.replace(['\n', '\r'], " ")));
    }
    text
}

fn cron_job(plan: &Plan, job: &Job) -> Value {
    let labels = json!({ "app.kubernetes.io/name": "pgcask" });
    let container = json!({
        "name": "pgcask",
        "image": plan.image,
        "args": plan.fleeting(job, "/etc/pgcask/pgcask.toml"),
        // The only place that can be written to.
        "workingDir": "/tmp",
        "envFrom": [{ "secretRef": { "name": "pgcask-environment", "optional": true } }],
        "env": [{ "name": "XDG_STATE_HOME", "value": "/tmp" }, { "name": "HOME", "value": "/tmp" }],
        "volumeMounts": [
            { "name": "config", "mountPath": "/etc/pgcask", "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
        "resources": { "requests": { "cpu": "500m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": { "name": format!("pgcask-{}", dns_label(&job.name)), "labels": labels },
        "spec": {
            "schedule": job.when.cron(),
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 1,
                    "template": {
                        "metadata": { "labels": labels },
                        "spec": {
                            "restartPolicy": "Never",
                            "automountServiceAccountToken": false,
                            "securityContext": { "runAsNonRoot": true, "runAsUser": 65_532, "fsGroup": 65_532 },
                            "containers": [container],
                            "volumes": [
                                { "name": "config", "secret": { "secretName": "pgcask-config", "defaultMode": 0o440 } },
                                { "name": "tmp", "emptyDir": {} },
                            ],
                        },
                    },
                },
            },
        },
    })
}

/// A name by the rules of DNS (RFC 1123); what had to be changed or cut gets a checksum of the whole, so that two names stay two.
fn dns_label(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let text: String = name.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let text = text.trim_matches('-').to_owned();
    let longest = LONGEST_NAME - "pgcask-".len();
    if text == name && text.len() <= longest {
        return text;
    }
    let start: String = text.chars().take(longest - 9).collect();
    format!("{}-{:08x}", start.trim_end_matches('-'), crc32fast::hash(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::dns_label;

    #[test]
    fn names_are_those_of_dns_and_stay_apart() {
        assert_eq!(dns_label("daily-shop"), "daily-shop");
        let odd = [dns_label("daily-my.shop"), dns_label("daily-my_shop"), dns_label(&"x".repeat(80))];
        assert_ne!(odd[0], odd[1]);
        for label in odd {
            assert!(label.len() <= 45 && !label.starts_with('-') && !label.ends_with('-'), "{label}");
        }
    }
}
