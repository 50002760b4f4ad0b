//! Connecting and what every session relies on: settings, snapshots, locks, COPY in, cancel.

use std::time::Duration;

use bytes::Bytes;
use pgcask::pg::lock::{LockPolicy, LockTarget, lock_all, lock_nowait};
use pgcask::pg::options::ConnectOptions;
use pgcask::pg::{PgError, Session, SessionKind, Snapshot};

use crate::harness::postgres::Server;

const MAJORS: [u32; 6] = [13, 14, 15, 16, 17, 18];

async fn open(server: &Server, kind: SessionKind) -> Session {
    let options = ConnectOptions::parse(&server.url("postgres")).unwrap();
    Session::open(&options, kind).await.unwrap()
}

fn target(oid: &str, name: &str, relkind: char) -> LockTarget {
    LockTarget { oid: oid.parse().unwrap(), schema: "public".to_owned(), name: name.to_owned(), relkind }
}

async fn oid_of(session: &Session, name: &str) -> String {
    let sql = format!("SELECT 'public.{name}'::regclass::oid");
    session.query_one_text(&sql).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_session_has_its_settings_whatever_role_and_database_say() {
    for major in MAJORS {
        let server = Server::start(major);
        let session = open(&server, SessionKind::Target).await;
        session
            .execute(
                "DROP ROLE IF EXISTS hostile; CREATE ROLE hostile LOGIN; ALTER ROLE hostile SET statement_timeout = '5s'; \
                 ALTER ROLE hostile SET default_transaction_read_only = on; ALTER ROLE hostile SET datestyle = 'German'; \
                 ALTER ROLE hostile SET search_path = public; ALTER ROLE hostile SET quote_all_identifiers = on; \
                 ALTER ROLE hostile SET lock_timeout = '1s'; ALTER ROLE hostile SET bytea_output = 'escape'; \
                 ALTER ROLE hostile SET extra_float_digits = 0; ALTER ROLE hostile SET timezone = 'Asia/Tokyo'",
            )
            .await
            .unwrap();
        let text = server.url("postgres").replace("postgres@", "hostile@");
        let options = ConnectOptions::parse(&text).unwrap();
        let session = Session::open(&options, SessionKind::Source).await.unwrap();
        assert_eq!(session.version().major(), major);
        assert_eq!((session.info().user.as_str(), session.info().encoding.as_str()), ("hostile", "UTF8"));
        assert!(!session.info().is_superuser && !session.info().is_pooled && !session.info().is_standby);
        let row = session
            .query_text(
                "SELECT current_setting('statement_timeout'), current_setting('search_path'), now()::text LIKE '%+00', \
                 'a'::bytea::text, 0.1::float8::text, current_setting('application_name'), \
                 current_setting('default_transaction_read_only')",
            )
            .await
            .unwrap();
        let row: Vec<&str> = row[0].iter().map(|value| value.as_deref().unwrap()).collect();
        assert_eq!(row, ["0", "", "t", "\\x61", "0.1", "pgcask", "off"], "{major}");
        let restricted = session
            .query_one_text("SELECT current_setting('restrict_nonsystem_relation_kind', true)")
            .await
            .unwrap();
        assert_eq!(restricted.as_deref().unwrap_or_default(), "view,foreign-table", "{major}");
    }
}

#[tokio::test]
async fn rows_come_as_text_and_as_values() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        n: i64,
        pgcask_row: Option<String>,
    }
    let server = Server::start(18);
    let session = open(&server, SessionKind::Source).await;
    let rows: Vec<Row> = session
        .query_json("SELECT n, CASE WHEN n > 1 THEN 'é\"\\' END AS q FROM generate_series(1, 2) n -- end")
        .await
        .map(|rows: Vec<serde_json::Value>| {
            rows.into_iter()
                .map(|row| Row {
                    n: row["n"].as_i64().unwrap(),
                    pgcask_row: row["q"].as_str().map(str::to_owned),
                })
                .collect()
        })
        .unwrap();
    assert_eq!(rows[0], Row { n: 1, pgcask_row: None });
    assert_eq!(rows[1], Row { n: 2, pgcask_row: Some("é\"\\".to_owned()) });
    let error = session.query_json::<Row>("SELECT 'x' AS n").await.unwrap_err();
    assert!(matches!(&error, PgError::Answer { statement, .. } if statement.contains("'x' AS n")), "{error}");
    let error = session.execute("ALTER ROLE nobody_here PASSWORD 'hunter2'").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert_eq!(error.sqlstate(), Some("42704"));
    assert_eq!(session.query_one_text("SELECT NULL").await.unwrap(), None);
}

#[tokio::test]
async fn failures_to_connect_tell_what_is_wrong() {
    let server = Server::start(18);
    let connect = async |text: String| {
        Session::open(&ConnectOptions::parse(&text).unwrap(), SessionKind::Source)
            .await
            .map(drop)
            .unwrap_err()
    };
    let url = server.url("no such db");
    assert!(
        matches!(connect(url.replace(' ', "%20")).await, PgError::NoSuchDatabase { database, .. } if database == "no such db")
    );
    let error = connect(server.url("postgres").replace("postgres@", "nobody@")).await;
    assert!(matches!(&error, PgError::Authentication { user, .. } if user == "nobody"), "{error}");
    let error = connect("postgres://u@127.0.0.1:1,[::1]:1/d".to_owned()).await;
    assert!(matches!(&error, PgError::Unreachable { attempts } if attempts.len() == 2), "{error}");
    assert!(error.is_lost());
    let error = connect("host=/nonexistent,name.invalid user=u connect_timeout=5".to_owned()).await;
    assert!(error.to_string().contains("/nonexistent/.s.PGSQL.5432"), "{error}");
    let error = connect(format!("{}?sslmode=require&channel_binding=require", server.url("postgres"))).await;
    assert!(matches!(error, PgError::Tls { .. }));
    let error = connect(format!("{}?target_session_attrs=standby", server.url("postgres"))).await;
    assert!(error.to_string().contains("not in recovery"), "{error}");
}

#[tokio::test]
async fn sockets_and_the_second_host_serve() {
    let server = Server::start(18);
    let dir = server.socket_dir().display().to_string();
    for text in [
        format!("host={dir} port={} user=postgres dbname=postgres sslmode=require", server.port()),
        format!("postgres://postgres@127.0.0.1:1,127.0.0.1:{}/postgres", server.port()),
        format!(
            "postgres://postgres@localhost:{}/postgres?target_session_attrs=prefer-standby",
            server.port()
        ),
        format!("host=nowhere.invalid hostaddr=127.0.0.1 port={} user=postgres", server.port()),
    ] {
        let options = ConnectOptions::parse(&text).unwrap();
        assert!(Session::open(&options, SessionKind::Source).await.is_ok(), "{text}");
    }
}

#[tokio::test]
async fn a_snapshot_is_shared_and_does_not_move() {
    for major in MAJORS {
        let server = Server::start(major);
        let (one, two) = (open(&server, SessionKind::Source).await, open(&server, SessionKind::Source).await);
        let writer = open(&server, SessionKind::Target).await;
        writer.execute("DROP TABLE IF EXISTS public.snap; CREATE TABLE public.snap (a int)").await.unwrap();
        for deferrable in [false, true] {
            let snapshot = Snapshot::export(&one, deferrable).await.unwrap();
            assert_eq!(snapshot.timeline, Some(1));
            writer.execute("INSERT INTO public.snap VALUES (1)").await.unwrap();
            let before = one.query_one_text("SELECT count(*) FROM public.snap").await.unwrap();
            snapshot.adopt(&two).await.unwrap();
            assert_eq!(two.query_one_text("SELECT count(*) FROM public.snap").await.unwrap(), before);
            one.execute("COMMIT").await.unwrap();
            two.execute("COMMIT").await.unwrap();
            assert_ne!(two.query_one_text("SELECT count(*) FROM public.snap").await.unwrap(), before);
        }
    }
}

#[tokio::test]
async fn locks_are_retried_and_then_name_who_is_in_the_way() {
    let server = Server::start(15);
    let (reader, writer) =
        (open(&server, SessionKind::Source).await, open(&server, SessionKind::Target).await);
    writer
        .execute("DROP TABLE IF EXISTS public.\"lock A\", public.lock_b; CREATE TABLE public.\"lock A\" (); CREATE TABLE public.lock_b ()")
        .await
        .unwrap();
    let targets = [
        target(&oid_of(&writer, "\"lock A\"").await, "lock A", 'r'),
        target(&oid_of(&writer, "lock_b").await, "lock_b", 'r'),
    ];
    let policy =
        LockPolicy { attempt: Duration::from_millis(50), deadline: Duration::from_millis(300), batch: 10 };
    writer.execute("BEGIN; LOCK TABLE public.lock_b").await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    let error = lock_all(&reader, &targets, policy).await.unwrap_err();
    let PgError::LockTimeout { blocked } = &error else { panic!("{error}") };
    assert_eq!((blocked.len(), blocked[0].relation.as_str()), (1, "\"public\".\"lock_b\""));
    assert!(blocked[0].blockers[0].starts_with(&format!("pid {}", writer.backend_pid())), "{blocked:?}");
    assert!(matches!(lock_nowait(&reader, &targets[1]).await, Err(PgError::LockTimeout { .. })));
    lock_nowait(&reader, &targets[0]).await.unwrap();
    let patient = LockPolicy { deadline: Duration::from_secs(30), ..policy };
    let (locked, ()) = tokio::join!(lock_all(&reader, &targets, patient), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        writer.execute("COMMIT").await.unwrap();
    });
    locked.unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessShareLock' AND relation IN \
                ('public.\"lock A\"'::regclass, 'public.lock_b'::regclass)";
    assert_eq!(reader.query_one_text(held).await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_relation_that_changed_under_us_is_named() {
    let server = Server::start(13);
    let (reader, writer) =
        (open(&server, SessionKind::Source).await, open(&server, SessionKind::Target).await);
    writer
        .execute(
            "DROP SCHEMA IF EXISTS changing CASCADE; CREATE SCHEMA changing; CREATE TABLE changing.ch_a (a int); \
             CREATE TABLE changing.ch_b (a int); CREATE TABLE changing.ch_c (a int)",
        )
        .await
        .unwrap();
    let mut targets = Vec::new();
    for name in ["ch_a", "ch_b", "ch_c"] {
        let sql = format!("SELECT 'changing.{name}'::regclass::oid");
        let oid = writer.query_one_text(&sql).await.unwrap().unwrap();
        targets.push(LockTarget { schema: "changing".to_owned(), ..target(&oid, name, 'r') });
    }
    drop(Snapshot::export(&reader, false).await.unwrap());
    writer
        .execute(
            "DROP TABLE changing.ch_a; DROP TABLE changing.ch_b; CREATE TABLE changing.ch_b (a int); \
             CREATE RULE \"_RETURN\" AS ON SELECT TO changing.ch_c DO INSTEAD SELECT 1 AS a",
        )
        .await
        .unwrap();
    for (target, expected) in targets.iter().zip(["dropped", "another relation", "no longer of kind"]) {
        let error = lock_all(&reader, std::slice::from_ref(target), LockPolicy::default()).await.unwrap_err();
        assert!(matches!(&error, PgError::Changed { what, .. } if what.contains(expected)), "{error}");
    }
}

#[tokio::test]
async fn rows_are_loaded_and_a_dropped_load_leaves_none() {
    let server = Server::start(18);
    let session = open(&server, SessionKind::Target).await;
    session
        .execute("DROP TABLE IF EXISTS public.load; CREATE TABLE public.load (a int PRIMARY KEY, b text)")
        .await
        .unwrap();
    let mut copy = session.copy_in("COPY public.load FROM STDIN").await.unwrap();
    for start in (0..100_000).step_by(1000) {
        let text: String = (start..start + 1000).map(|n| format!("{n}\trow {n}\n")).collect();
        copy.send(Bytes::from(text)).await.unwrap();
    }
    assert_eq!(copy.finish().await.unwrap(), 100_000);
    let mut copy = session.copy_in("COPY public.load FROM STDIN").await.unwrap();
    copy.send(Bytes::from_static(b"200000\tx\n")).await.unwrap();
    drop(copy);
    let mut copy = session.copy_in("COPY public.load FROM STDIN").await.unwrap();
    copy.send(Bytes::from_static(b"300000\tx\n1\ttwice\n")).await.unwrap();
    let error = copy.finish().await.unwrap_err();
    let PgError::Server(report) = &error else { panic!("{error}") };
    assert_eq!((report.code.as_str(), report.constraint.as_deref()), ("23505", Some("load_pkey")));
    assert!(report.context.as_deref().unwrap().contains("line 2"), "{report}");
    assert_eq!(
        session.query_one_text("SELECT count(*) FROM public.load").await.unwrap().as_deref(),
        Some("100000")
    );
}

#[tokio::test]
async fn a_busy_session_is_cancelled_and_a_killed_one_says_so() {
    let server = Server::start(18);
    let (busy, other) = (open(&server, SessionKind::Source).await, open(&server, SessionKind::Source).await);
    let canceller = busy.canceller();
    let (result, ()) = tokio::join!(busy.execute("SELECT pg_sleep(60)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        canceller.cancel().await.unwrap();
    });
    assert_eq!(result.unwrap_err().sqlstate(), Some("57014"));
    other.execute(&format!("SELECT pg_terminate_backend({})", busy.backend_pid())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = busy.execute("SELECT 1").await.unwrap_err();
    assert!(error.is_lost() && error.to_string().contains("terminating connection"), "{error}");
    assert!(busy.is_closed());
}

/// Takes a connection, asks for SCRAM, and names a number of rounds that would take an hour.
fn slow_scram() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let message = |stream: &mut std::net::TcpStream, code: u32, body: &[u8]| {
            let length = u32::try_from(body.len() + 8).unwrap();
            let head = [b"R".as_slice(), &length.to_be_bytes(), &code.to_be_bytes(), body].concat();
            stream.write_all(&head).unwrap();
            let mut answer = vec![0; 4096];
            let length = stream.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..length]).into_owned()
        };
        let mut startup = [0; 4096];
        assert!(client.read(&mut startup).unwrap() > 0);
        let first = message(&mut client, 10, b"SCRAM-SHA-256\0\0");
        let nonce = first.rsplit("r=").next().unwrap().to_owned();
        message(&mut client, 11, format!("r={nonce}abc,s=c2FsdHNhbHQ=,i=4000000000").as_bytes());
    });
    port
}

#[tokio::test]
async fn a_server_cannot_make_us_reckon_for_an_hour() {
    let text = format!("postgres://u:secret@127.0.0.1:{}/d?sslmode=disable", slow_scram());
    let options = ConnectOptions::parse(&text).unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(20), Session::open(&options, SessionKind::Source));
    let error = opened.await.expect("it reckons").map(drop).unwrap_err();
    assert!(error.to_string().contains("iteration count"), "{error}");
}
