//! What a store is asked for besides keeping bytes, as it goes over the wire: server-side encryption, storage class, size of
//! parts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use base64::Engine as _;

use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};
use crate::harness::proxy::{Fault, Proxy, Request};
use crate::harness::s3::S3Server;

/// Backs up with a `[stores.wire]` of these lines; gives the requests.
fn requests(lines: &str, rows: u32) -> Vec<Request> {
    let (run, requests) = backup_through(|_, _| Fault::None, lines, rows);
    run.expect(0);
    requests
}

/// Backs up through a proxy of this plan.
fn backup_through(
    plan: impl Fn(&Request, u32) -> Fault + Send + Sync + 'static,
    lines: &str,
    rows: u32,
) -> (Run, Vec<Request>) {
    let (server, s3, folder) = (Server::shared(newest()), S3Server::shared(), folder());
    let url = Place::bucket().store;
    let source = server.create_db();
    server.sql(
        &source,
        &format!("CREATE TABLE t AS SELECT i, md5(i::text) || md5((i * 3)::text) AS m FROM generate_series(1, {rows}) i"),
    );
    // Options that the server does not know are not its business here.
    let proxy = Proxy::start(&s3.endpoint(), plan);
    let config = folder.path().join("pgcask.toml");
    std::fs::write(&config, format!("[stores.wire]\nurl = \"{url}\"\n{lines}\n")).unwrap();
    let config = config.display().to_string();
    let mut command = pgcask([
        "--config",
        &config,
        "backup",
        &server.url(&source),
        "--to",
        "wire",
        "--json",
        "--no-encrypt",
    ]);
    s3.configure(&mut command);
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    command.env("AWS_ENDPOINT_URL", proxy.endpoint()).env("CUSTOMER_KEY", key);
    let run = run(&mut command);
    (run, proxy.seen().into_iter().map(|(request, _)| request).collect())
}

fn of<'a>(all: &'a [Request], class: &str) -> Vec<&'a Request> {
    let found: Vec<&Request> = all.iter().filter(|request| request.class() == class).collect();
    assert!(!found.is_empty(), "no {class} among {:?}", all.iter().map(Request::class).collect::<Vec<_>>());
    found
}

const SSE: &str = "x-amz-server-side-encryption";
const CLASS: &str = "x-amz-storage-class";

#[test]
fn encryption_by_the_store_is_asked_for_with_every_object() {
    let all = requests("encryption = \"AES256\"", 10);
    for class in ["POST uploads", "PUT sha256", "PUT json"] {
        assert!(of(&all, class).iter().all(|request| request.header(SSE) == Some("AES256")), "{class}");
    }
}

/// The server here has no key service: what it is asked is seen before it refuses, as one would that does not know the key.
#[test]
fn a_key_of_a_key_service_is_named_and_its_refusal_is_told() {
    for kind in ["aws:kms", "aws:kms:dsse"] {
        let plan = |request: &Request, _| match request.class().as_str() {
            "PUT part" => Fault::Answer(400, "KMS.NotFoundException"),
            _ => Fault::None,
        };
        let lines = format!("encryption = \"{kind}\"\nkms_key_id = \"alias/backups\"");
        let (run, all) = backup_through(plan, &lines, 10);
        for request in of(&all, "POST uploads") {
            let key = request.header("x-amz-server-side-encryption-aws-kms-key-id");
            assert_eq!((request.header(SSE), key), (Some(kind), Some("alias/backups")));
        }
        let told = run.expect(8).stderr;
        assert!(told.contains("400 Bad Request: injected"), "{told}");
        assert!(!all.iter().any(|request| request.class() == "PUT json"), "it is no backup");
    }
}

#[test]
fn a_customer_key_goes_with_every_request_that_needs_it() {
    let all = requests("encryption = \"sse-c\"\ncustomer_key = { env = \"CUSTOMER_KEY\" }", 10);
    let name = "x-amz-server-side-encryption-customer-algorithm";
    for class in ["POST uploads", "PUT part", "PUT sha256", "PUT json"] {
        assert!(of(&all, class).iter().all(|request| request.header(name) == Some("AES256")), "{class}");
    }
}

#[test]
fn archives_are_of_the_class_that_is_asked_for_and_their_sidecars_are_not() {
    let all = requests("storage_class = \"STANDARD_IA\"", 10);
    assert_eq!(of(&all, "POST uploads")[0].header(CLASS), Some("STANDARD_IA"));
    for class in ["PUT sha256", "PUT json"] {
        assert_eq!(of(&all, class)[0].header(CLASS), None, "{class}");
    }
}

#[test]
fn parts_are_of_the_size_that_is_asked_for() {
    let all = requests("part_size = \"5M\"", 300_000);
    let parts = of(&all, "PUT part");
    let sizes: Vec<&str> = parts.iter().filter_map(|part| part.header("content-length")).collect();
    assert!(sizes.len() > 1 && sizes.iter().filter(|size| **size != "5242880").count() == 1, "{sizes:?}");
}

#[test]
fn an_archive_that_is_put_away_is_told_with_what_to_do() {
    let s3 = S3Server::shared();
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT 1 AS a");
    let away = |request: &Request, _: u32| {
        if request.class() == "GET archive" { Fault::Answer(403, "InvalidObjectState") } else { Fault::None }
    };
    let proxy = Proxy::start(&s3.endpoint(), away);
    let go = |args: &[&str]| {
        let mut command = pgcask(args);
        s3.configure(&mut command);
        run(command.env("AWS_ENDPOINT_URL", proxy.endpoint()).current_dir(folder.path()))
    };
    let store = Place::bucket().store;
    let made =
        go(&["backup", &server.url(&source), "--to", &store, "--no-encrypt", "--json"]).expect(0).json();
    // What is listed comes from the sidecars.
    assert_eq!(go(&["list", "--store", &store, "--json"]).expect(0).json()[0]["id"], made["id"]);
    let into = server.url(&server.fresh_name());
    let told =
        go(&["restore", made["archive"].as_str().unwrap(), "--into", &into, "--create"]).expect(8).stderr;
    assert!(told.contains("cannot be read at once") && told.contains("restore-object"), "{told}");
}

/// Answers like the services that give an instance, or a pod, its credentials.
fn credentials_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let role = serde_json::json!({"Code": "Success", "AccessKeyId": "role-key", "SecretAccessKey": "planted-secret-4716",
        "Token": "planted-token-4716", "Expiration": "2099-01-01T00:00:00Z"});
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let secret = lines.take_while(|line| !line.is_empty()).any(|line| {
                line.eq_ignore_ascii_case("x-aws-ec2-metadata-token: session")
                    || line.ends_with("planted-token-of-the-pod")
            });
            let (status, body) = match first.split(' ').nth(1).unwrap_or_default() {
                "/latest/api/token" if first.starts_with("PUT") => (200, "session".to_owned()),
                _ if !secret => (401, String::new()),
                "/latest/meta-data/iam/security-credentials/" => (200, "backups".to_owned()),
                "/latest/meta-data/iam/security-credentials/backups" | "/pod" => (200, role.to_string()),
                _ => (404, String::new()),
            };
            let head = format!(
                "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            drop((&client).write_all(format!("{head}{body}").as_bytes()));
        }
    });
    own
}

/// Temporary credentials, wherever they come from, sign each request, and their token goes with it.
#[test]
fn credentials_of_an_instance_a_pod_and_a_session_sign_the_requests() {
    let (s3, folder) = (S3Server::shared(), folder());
    let service = credentials_service();
    let token = folder.path().join("pod-token");
    std::fs::write(&token, "planted-token-of-the-pod").unwrap();
    let token = token.display().to_string();
    let ways: [(&str, Vec<(&str, String)>); 3] = [
        ("role-key", vec![("AWS_METADATA_ENDPOINT", service.clone())]),
        (
            "role-key",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{service}/pod")),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
            ],
        ),
        (
            "session-key",
            vec![
                ("AWS_ACCESS_KEY_ID", "session-key".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "planted-secret-4716".to_owned()),
                ("AWS_SESSION_TOKEN", "planted-token-4716".to_owned()),
            ],
        ),
    ];
    for (key, variables) in ways {
        // The server knows none of these keys: what counts is what reaches it.
        let proxy = Proxy::start(&s3.endpoint(), |_, _| Fault::Echo(403, "InvalidAccessKeyId"));
        let mut command = pgcask(["list", "--store", "s3://backups/prod"]);
        command.env("AWS_ENDPOINT_URL", proxy.endpoint()).envs(variables);
        let told = run(&mut command).expect(8).stderr;
        assert!(told.contains("permission denied (InvalidAccessKeyId)"), "{told}");
        let seen = proxy.seen();
        assert!(!seen.is_empty());
        for (request, _) in seen {
            let signed = request.header("authorization").unwrap();
            assert!(signed.contains(&format!("Credential={key}/")), "{signed}");
            assert!(signed.contains("x-amz-security-token"), "{signed}");
            assert_eq!(request.header("x-amz-security-token"), Some("planted-token-4716"));
        }
    }
}

/// Who forgot them is told so, and does not have to know what answers at 169.254.169.254.
#[test]
fn missing_credentials_are_told_as_such() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = pgcask(["list", "--store", "s3://backups/prod"]);
    command.env("AWS_METADATA_ENDPOINT", format!("http://{closed}")).env("PGCASK_STORE_TIMEOUT", "1");
    let told = run(&mut command).expect(8).stderr;
    assert!(told.contains("no credentials"), "{told}");
}
