//! Values and names on their way: none is lost unseen, none is written in a form that cannot be read back.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use crate::harness::cli::{backup, folder, pass, pgcask, restore, run, spawn, wait};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};
use crate::load::{COPYING, until};
use crate::pooler::message;

/// Stands before a server and swallows one row of the first COPY that passes: message `CopyData` number 1,000.
fn lossy(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            // Ends when either side is gone.
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let mut rows = 0;
                while let Some((kind, bytes)) = message(&mut server) {
                    rows += u32::from(kind == b'd');
                    let swallowed = kind == b'd' && rows == 1_000;
                    if !swallowed && client.write_all(&bytes).is_err() {
                        break;
                    }
                }
                // Only our copy is closed by dropping it: the other thread holds one more.
                drop(client.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    own
}

#[test]
fn a_row_that_is_lost_on_the_way_fails_the_backup() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, "CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 5000) i");
    let port = lossy(server.port());
    let url = format!("postgres://postgres@127.0.0.1:{port}/{source}?sslmode=disable");
    let store = folder.path().join("store").display().to_string();
    let args = ["backup", &url, "--to", &store, "--jobs", "1", &pass(folder.path())];
    let ended = run(&mut pgcask(args)).expect(1);
    assert!(ended.stderr.contains("the server sent 5000 rows of public.t, 4999 arrived"), "{}", ended.stderr);
}

#[test]
fn rows_that_the_target_does_not_take_fail_the_restore() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (source, target) = (server.create_db(), server.create_db());
    server.sql(&source, "CREATE TABLE t AS SELECT i FROM generate_series(1, 5000) i");
    let made = backup(folder.path(), &server.url(&source), &[]);
    server.sql(
        &target,
        "CREATE TABLE t (i int);
         CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.i = 7 THEN RETURN NULL; END IF; RETURN NEW; END';
         CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd()",
    );
    let archive = made["archive"].as_str().unwrap();
    let ended = restore(folder.path(), archive, &server.url(&target), &["--data-only"]).expect(5);
    assert!(ended.stderr.contains("the server took 4999 rows of 5000"), "{}", ended.stderr);
    assert_eq!(server.value(&target, "SELECT count(*) FROM t"), "0", "the load is one transaction");
}

#[test]
fn types_altered_while_rows_are_read_fail_the_backup_by_name() {
    let server = Server::start(newest());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TYPE pair AS (a int, b text); CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN moods AS mood[];
         CREATE TYPE unused AS (a int);
         CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS m, ROW(i, 'x')::pair AS p, '{sad}'::moods AS s
             FROM generate_series(1, 200000) i",
    );
    for (change, named) in [
        ("ALTER TYPE pair ADD ATTRIBUTE c int", Some("public.pair")),
        ("ALTER TYPE pair DROP ATTRIBUTE c", Some("public.pair")),
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", Some("public.mood")),
        // These change no row's text.
        ("ALTER TYPE mood ADD VALUE 'angry'; ALTER TYPE unused ADD ATTRIBUTE b int", None),
    ] {
        let folder = folder();
        let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
        let args = ["backup", &url, "--to", &store, "--level", "9", "--jobs", "1", &pass(folder.path())];
        let ours = spawn(&mut pgcask(args));
        until(&server, &source, COPYING, "t");
        server.sql(&source, change);
        assert_eq!(server.value(&source, COPYING), "t", "the backup ended too early for this test");
        let ended = wait(ours);
        match named {
            Some(name) => {
                let told =
                    ended.stderr.contains(name) && ended.stderr.contains("was altered while rows were read");
                assert!(ended.code == 1 && told, "{change}: {ended:?}");
            }
            None => assert_eq!(ended.code, 0, "{change}: {ended:?}"),
        }
    }
}

#[test]
fn names_whose_bytes_look_like_quotes_in_another_encoding() {
    let server = Server::shared(newest());
    let c = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    for encoding in ["UTF8", "EUC_JP"] {
        let (source, target) =
            (server.create_db_with(&format!("ENCODING '{encoding}' {c}")), server.fresh_name());
        // The second byte of these is a backslash in SJIS; what clients claim by themselves must not matter.
        server.sql(
            &source,
            "SET client_encoding = 'UTF8'; CREATE TABLE \"表\" (\"ソ'\" text DEFAULT 'ソ表能\\', \"能\"\"x\" int);
             INSERT INTO \"表\" VALUES ('十\\', 1); COMMENT ON TABLE \"表\" IS '予''定';
             CREATE FUNCTION \"貼\"() RETURNS text LANGUAGE sql AS $$SELECT '暴\\'$$",
        );
        server.sql("postgres", &format!("ALTER DATABASE {source} SET client_encoding = 'SJIS'"));
        let folder = folder();
        let made = backup(folder.path(), &server.url(&source), &[]);
        server.sql("postgres", &format!("ALTER DATABASE {source} RESET client_encoding"));
        let target = server.adopt(target);
        restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"])
            .expect(0);
        server.sql("postgres", &format!("ALTER DATABASE {target} RESET client_encoding"));
        assert_same(server, &source, server, &target);
    }
}

/// Characters that an encoding of the server has in common with UTF-8, in databases of that encoding, and from there
/// into one of UTF-8.
#[test]
fn characters_of_every_encoding() {
    let (server, folder) = (Server::shared(newest()), folder());
    let c = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let encodings = [
        ("LATIN1", 100),
        ("LATIN2", 100),
        ("LATIN9", 100),
        ("WIN1252", 100),
        ("WIN1251", 100),
        ("WIN874", 70),
        ("KOI8R", 100),
        ("ISO_8859_8", 50),
        ("EUC_JP", 700),
        ("EUC_JIS_2004", 700),
        ("EUC_CN", 700),
        ("EUC_KR", 700),
        ("EUC_TW", 700),
    ];
    for (encoding, least) in encodings {
        let source = server.create_db_with(&format!("ENCODING '{encoding}' {c}"));
        server.sql(
            &source,
            &format!(
                "CREATE TABLE t (code int, v text);
                 DO $$ DECLARE i int; BEGIN FOR i IN 1..65535 LOOP
                   CONTINUE WHEN i BETWEEN 55296 AND 57343 OR i > 2047 AND i % 7 <> 0;
                   BEGIN
                     INSERT INTO t SELECT i, convert_from(convert(decode(CASE WHEN i < 128 THEN lpad(to_hex(i), 2, '0')
                       WHEN i < 2048 THEN to_hex(192 + i / 64) || to_hex(128 + i % 64)
                       ELSE to_hex(224 + i / 4096) || to_hex(128 + i / 64 % 64) || to_hex(128 + i % 64) END, 'hex'), 'UTF8', '{encoding}'), '{encoding}');
                   EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN NULL;
                   END; END LOOP; END $$"
            ),
        );
        let count: u32 = server.value(&source, "SELECT count(*) FROM t").parse().unwrap();
        assert!(count > least, "{encoding}: {count}");
        let made = backup(folder.path(), &server.url(&source), &[]);
        let archive = made["archive"].as_str().unwrap();
        let (same, other) = (server.adopt(server.fresh_name()), server.create_db());
        restore(folder.path(), archive, &server.url(&same), &["--create"]).expect(0);
        assert_same(server, &source, server, &same);
        restore(folder.path(), archive, &server.url(&other), &[]).expect(0);
        let all = "SELECT md5(string_agg(encode(convert_to(v, 'UTF8'), 'hex'), ',' ORDER BY code)) FROM t";
        assert_eq!(server.value(&other, all), server.value(&source, all), "{encoding}");
    }
}

/// Bytes that an encoding of one byte does not define are taken by the server unseen.
#[test]
fn a_byte_that_no_character_stands_for_is_told_with_its_table() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db_with("ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    server
        .sql(&source, "CREATE TABLE fine AS SELECT chr(128) AS v; CREATE TABLE odd AS SELECT chr(129) AS v");
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let ended = run(&mut pgcask(["backup", &url, "--to", &store, &pass(folder.path())])).expect(1);
    for words in ["copy public.odd", "0x81", "--exclude-table-data"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert_eq!(backup(folder.path(), &url, &["--exclude-table-data", "odd"])["rows"], 1);
}

#[test]
fn names_that_are_not_utf8_are_refused_by_name_and_rows_are_not() {
    let server = Server::shared(newest());
    let source = server.create_db_with("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    let named = |statement: &str| {
        format!(
            "DO $$ BEGIN EXECUTE convert_from(decode('{}', 'escape'), 'SQL_ASCII'); END $$",
            statement.replace('\'', "''")
        )
    };
    server.sql(
        &source,
        &format!(
            "{}; {}; {}; {}",
            named(r#"CREATE TABLE public."caf\351" (i int, "pri\350re" text)"#),
            named(r#"CREATE TABLE public.plain (i int DEFAULT 1, "caf\303\251" text)"#),
            named(r"COMMENT ON TABLE public.plain IS 'd\351j\340 vu'"),
            named(r"INSERT INTO public.plain VALUES (1, 'd\351j\340 vu')"),
        ),
    );
    let folder = folder();
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let ended = run(&mut pgcask(["backup", &url, "--to", &store, &pass(folder.path())])).expect(1);
    for words in
        [r#"table public."caf\xe9""#, r"column pri\xe8re of table", "table public.plain", "hint: rename"]
    {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("xc3"), "a name in UTF-8 is none of them: {}", ended.stderr);
    // Without them the rows, in whatever bytes, come back.
    server.sql(
        &source,
        &format!("{}; COMMENT ON TABLE public.plain IS NULL", named(r#"DROP TABLE public."caf\351""#)),
    );
    let made = backup(folder.path(), &url, &[]);
    let target = server.adopt(server.fresh_name());
    restore(folder.path(), made["archive"].as_str().unwrap(), &server.url(&target), &["--create"]).expect(0);
    let bytes = "SELECT encode(textsend(t::text), 'hex') FROM public.plain t";
    assert_eq!(server.value(&target, bytes), server.value(&source, bytes));
    assert!(server.value(&target, bytes).contains("64e96ae0207675"));
}

/// Arrays in the catalog that are longer than any that a statement could have made (CVE-2026-19385).
#[test]
fn arrays_of_the_catalog_may_have_any_length() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "SET allow_system_table_mods = on;
         CREATE FUNCTION f(a int, b int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
         UPDATE pg_proc SET protrftypes = (SELECT array_agg(25::oid) FROM generate_series(1, 5000)) WHERE proname = 'f';
         UPDATE pg_extension SET extconfig = (SELECT array_agg(i::oid) FROM generate_series(900001, 905000) i), extcondition = '{}'
             WHERE extname = 'plpgsql';
         CREATE TABLE t AS SELECT 1 AS i",
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let shown = run(&mut pgcask(["show", archive, "--toc", &pass(folder.path())])).expect(0);
    assert!(
        shown.stdout.contains("FUNCTION \"public\".\"f\"(\"a\" integer, \"b\" integer)"),
        "{}",
        shown.stdout
    );
}

/// Takes two gigabytes of memory.
#[test]
#[ignore = "slow: makes a value of 600 MB"]
fn a_value_too_long_for_text_is_named() {
    let (server, folder) = (Server::start(newest()), folder());
    let source = server.create_db();
    server.sql(
        &source,
        "CREATE TABLE huge (b bytea); ALTER TABLE huge ALTER b SET STORAGE EXTERNAL;
         INSERT INTO huge SELECT convert_to(repeat('x', 600000000), 'UTF8')",
    );
    let (url, store) = (server.url(&source), folder.path().join("store").display().to_string());
    let ended = run(&mut pgcask(["backup", &url, "--to", &store, &pass(folder.path())])).expect(1);
    for words in ["copy public.huge", "longer than 1 GiB", "--exclude-table-data"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert_eq!(backup(folder.path(), &url, &["--exclude-table-data", "huge"])["rows"], 0);
}

#[test]
fn names_cannot_break_out_of_their_line() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    let name = "a\nDROP TABLE b;\r\u{1b}[31m";
    server.sql(
        &source,
        &format!(
            "CREATE TABLE \"{name}\" AS SELECT 1 AS \"{name}\"; COMMENT ON TABLE \"{name}\" IS '{name}'"
        ),
    );
    let made = backup(folder.path(), &server.url(&source), &[]);
    let (archive, pass) = (made["archive"].as_str().unwrap().to_owned(), pass(folder.path()));
    let target = server.create_db();
    server.sql(&target, &format!("CREATE TABLE \"{name}\" (i int)"));
    let mut said = Vec::new();
    for (arguments, code) in [
        (vec!["show", &archive], 0),
        (vec!["show", &archive, "--toc"], 0),
        (vec!["show", &archive, "--table", "*"], 0),
        (vec!["cat", &archive, "nothing"], 1),
        (vec!["restore", &archive, "--into", &server.url(&target), "--data-only"], 1),
    ] {
        let ended = run(&mut pgcask(arguments.iter().copied().chain([pass.as_str()]))).expect(code);
        said.extend([ended.stdout, ended.stderr]);
    }
    let said = said.concat();
    assert!(said.contains("DROP TABLE b"), "{said}");
    let broken = said.lines().any(|line| line.starts_with("DROP"));
    assert!(!broken && !said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
}
