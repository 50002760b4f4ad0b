use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn env(vars: &[(&str, &str)]) -> EnvLookup {
    EnvLookup::fixed(vars, None, Some("osuser"))
}

fn resolve(text: &str, vars: &[(&str, &str)]) -> ConnectOptions {
    ConnectOptions::resolve(Some(text), &env(vars)).unwrap()
}

fn failure(text: &str, vars: &[(&str, &str)]) -> String {
    ConnectOptions::resolve(Some(text), &env(vars)).unwrap_err().to_string()
}

#[test]
fn without_anything_it_is_the_local_socket_and_the_users_own_database() {
    let options = ConnectOptions::resolve(None, &env(&[])).unwrap();
    assert_eq!(options.display(), "osuser@/var/run/postgresql:5432,/tmp:5432/osuser");
    assert_eq!((options.tls.mode, options.channel_binding), (SslMode::Prefer, ChannelBinding::Prefer));
    assert_eq!((options.connect_timeout, options.target), (None, TargetSessionAttrs::Any));
    assert!(options.tcp.keepalives && options.application_name.is_none());
    let nobody = EnvLookup::fixed(&[], None, None);
    assert!(matches!(ConnectOptions::resolve(None, &nobody), Err(OptionsError::NoUser)));
}

#[test]
fn the_text_comes_before_the_environment_before_the_defaults() {
    let vars = [("PGHOST", "envhost"), ("PGPORT", "1"), ("PGUSER", "envuser"), ("PGPASSWORD", "envpass")];
    assert_eq!(resolve("", &vars).display(), "envuser@envhost:1/envuser");
    assert_eq!(resolve("postgres://u@h/d", &vars).display(), "u@h:1/d");
    assert_eq!(resolve("host=h port=2", &vars).display(), "envuser@h:2/envuser");
    assert_eq!(resolve("d", &vars).display(), "envuser@envhost:1/d");
    // A value that is given but empty hides the environment's.
    assert_eq!(
        resolve("host='' port=", &vars).display(),
        "envuser@/var/run/postgresql:5432,/tmp:5432/envuser"
    );
    let options = resolve("", &vars);
    assert_eq!(options.password_for(&options.hosts[0]), Some(Secret::new("envpass")));
}

#[test]
fn a_service_comes_between_the_text_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[s]\nhost=svc\nport=7\nuser=svcuser\n").unwrap();
    let vars =
        [("PGSERVICE", "s"), ("PGSERVICEFILE", file.to_str().unwrap()), ("PGUSER", "e"), ("PGDATABASE", "d")];
    assert_eq!(resolve("port=8", &vars).display(), "svcuser@svc:8/d");
    assert_eq!(resolve("service=s", &vars[1..]).display(), "svcuser@svc:7/d");
    assert_eq!(failure("service=x", &vars[1..]), "definition of service \"x\" not found");
}

#[test]
fn lists_of_hosts() {
    for (text, expected) in [
        ("postgres://u@h1:1,h2:2/d", "u@h1:1,h2:2/d"),
        ("postgres://u@h1,h2:2/d", "u@h1:5432,h2:2/d"),
        ("host=h1,h2 port=9 user=u", "u@h1:9,h2:9/u"),
        ("postgres://u@[::1]:7/d", "u@[::1]:7/d"),
        ("host=/a,h port=1,2 user=u", "u@/a:1,h:2/u"),
        ("postgres://u@%2Frun%2Fx:6/d", "u@/run/x:6/d"),
        ("host=n hostaddr=127.0.0.1 user=u", "u@n:5432/u"),
        ("hostaddr=::1,10.0.0.1 user=u", "u@[::1]:5432,10.0.0.1:5432/u"),
        ("user='a\nb' host=h", "a\\nb@h:5432/a\\nb"),
    ] {
        assert_eq!(resolve(text, &[]).display(), expected, "{text}");
    }
    assert!(failure("host=a,b port=1,2,3", &[]).contains("one port, or one for each host"));
    assert!(failure("host=a,b hostaddr=::1", &[]).contains("as many addresses"));
    assert!(failure("hostaddr=x", &[]).contains("an IPv4 or IPv6 address"));
    assert!(failure("port=0", &[]).contains("1 to 65535"));
    assert!(failure("port=70000", &[]).contains("1 to 65535"));
}

#[test]
fn values_are_checked() {
    for (text, part) in [
        ("sslmode=on", "\"sslmode\": expected disable, allow"),
        ("channel_binding=yes", "disable, prefer or require"),
        ("target_session_attrs=x", "prefer-standby"),
        ("load_balance_hosts=on", "disable or random"),
        ("connect_timeout=soon", "an integer"),
        ("keepalives=on", "an integer"),
        ("sslrootcert=system sslmode=require", "verify-full"),
        ("sslnegotiation=direct", "require or stronger"),
        ("ssl_max_protocol_version=TLSv1.1", "TLSv1.2 or TLSv1.3"),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "at least"),
        ("min_protocol_version=3.2", "not supported"),
    ] {
        assert!(failure(text, &[]).contains(part), "{text}: {}", failure(text, &[]));
    }
    assert!(failure("", &[("PGREQUIREAUTH", "scram-sha-256")]).contains("\"require_auth\" is not supported"));
    assert_eq!(resolve("connect_timeout=0 gssencmode=disable", &[]).connect_timeout, None);
    assert_eq!(resolve("connect_timeout=7", &[]).connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(resolve("sslrootcert=system", &[]).tls.mode, SslMode::VerifyFull);
    let tcp =
        resolve("keepalives_idle=5 keepalives_interval=6 keepalives_count=3 tcp_user_timeout=1500", &[]).tcp;
    assert_eq!((tcp.idle, tcp.interval), (Some(Duration::from_secs(5)), Some(Duration::from_secs(6))));
    assert_eq!((tcp.count, tcp.user_timeout), (Some(3), Some(Duration::from_millis(1500))));
}

#[test]
fn default_files_are_in_the_home_directory() {
    let env = EnvLookup::fixed(&[], Some(PathBuf::from("/home/u")), Some("u"));
    let tls = ConnectOptions::resolve(Some("sslkey=/k"), &env).unwrap().tls;
    assert_eq!(tls.roots, RootCerts::File { path: "/home/u/.postgresql/root.crt".into(), given: false });
    assert_eq!(tls.cert, Some(TlsFile { path: "/home/u/.postgresql/postgresql.crt".into(), given: false }));
    assert_eq!(tls.key, Some(TlsFile { path: "/k".into(), given: true }));
}

#[test]
fn passwords_come_from_the_file_by_host_port_database_and_user() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pass");
    std::fs::write(&file, "localhost:5432:*:u:socket\nh1:*:d:u:one\nh2:*:other:u:two\n/x:*:*:*:dir\n")
        .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let vars = [("PGPASSFILE", file.to_str().unwrap())];
    let find = |text: &str| {
        let options = resolve(text, &vars);
        let list = options.hosts.iter().map(|host| options.password_for(host).map(|p| p.expose().to_owned()));
        list.collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(find("user=u"), [some("socket"), some("socket")]);
    assert_eq!(find("host=h1,h2 user=u dbname=d"), [some("one"), None]);
    assert_eq!(find("host=/x user=u"), [some("dir")]);
    assert_eq!(find("host=h1 user=u dbname=d password=p"), [some("p")]);
    let other = resolve("host=h1,h2 user=u dbname=d", &vars).with_database("other");
    assert_eq!(other.password_for(&other.hosts[1]), Some(Secret::new("two")));
}

#[test]
fn no_password_is_shown() {
    let options = resolve("postgres://u:hunter2@h/d", &[("PGPASSWORD", "hunter3")]);
    let shown = format!("{options:?} {}", options.display());
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn parts_add_to_a_url_and_replace_what_it_says() {
    let parts = vec![
        ("host", "db 2".to_owned()),
        ("password", "it's \\ = x".to_owned()),
        ("sslmode", "disable".to_owned()),
    ];
    let text = conninfo(Some("postgres://app:old@db/shop?connect_timeout=3"), parts).unwrap();
    let options = ConnectOptions::parse(&text).unwrap();
    assert_eq!(options.display(), "app@db 2:5432/shop");
    assert_eq!(options.connect_timeout, Some(Duration::from_secs(3)));
    assert_eq!(options.password_for(&options.hosts[0]).unwrap().expose(), "it's \\ = x");
    assert!(conninfo(None, vec![("hots", String::new())]).is_err());
}
