use super::*;
use crate::catalog::globals::{Membership, PasswordHash, Role, Tablespace};
use crate::pg::ServerVersion;

const NEW: ServerVersion = ServerVersion(180_000);

fn server(roles: &[Role]) -> Globals {
    let mut globals = Globals::fresh(NEW, "postgres", &["pg_monitor".to_owned()]);
    globals.roles.extend_from_slice(roles);
    globals
}

fn member(role: &str, member: &str, grantor: &str, admin: bool) -> Membership {
    Membership {
        role: role.to_owned(),
        member: member.to_owned(),
        grantor: Some(grantor.to_owned()),
        admin,
        inherit: Some(true),
        set: Some(true),
    }
}

fn superuser() -> Powers {
    let user = "postgres".to_owned();
    Powers { user, superuser: true, create_role: true, create_db: true, replication: true, bypass_rls: true }
}

fn wish<'a>(
    wanted: &'a Globals,
    present: &'a Globals,
    powers: &'a Powers,
    map: &'a TablespaceMap,
) -> Wish<'a> {
    Wish {
        wanted,
        present,
        passwords_known: true,
        powers,
        choice: Choice::All,
        update: false,
        tablespaces: true,
        map,
        unknown_parameters: BTreeSet::new(),
        in_database: None,
    }
}

fn statements(plan: &GlobalsPlan) -> Vec<&str> {
    plan.steps.iter().flat_map(|step| &step.statements).map(String::as_str).collect()
}

#[test]
fn what_is_there_and_equal_needs_nothing() {
    let (all, map, powers) = (server(&[Role::plain("r")]), TablespaceMap::default(), superuser());
    assert_eq!(plan(&wish(&all, &all, &powers, &map)), GlobalsPlan::default());
}

#[test]
fn a_role_that_differs_is_told_and_altered_only_on_request() {
    let wanted = server(&[Role { login: true, comment: Some("c".to_owned()), ..Role::plain("r") }]);
    let (present, map, powers) = (server(&[Role::plain("r")]), TablespaceMap::default(), superuser());
    let mut wish = wish(&wanted, &present, &powers, &map);
    let told = "the role \"r\" is there and differs: the archive says LOGIN, its comment";
    let left = plan(&wish);
    assert_eq!((left.steps.len(), left.differences), (0, vec![told.to_owned()]));
    wish.update = true;
    let altered = plan(&wish);
    assert_eq!(statements(&altered), ["ALTER ROLE \"r\" LOGIN", "COMMENT ON ROLE \"r\" IS 'c'"]);
    assert!(altered.differences.is_empty());
}

#[test]
fn who_restores_and_who_made_the_server_keep_their_rights() {
    let mut wanted = server(&[]);
    wanted.roles = vec![Role::plain("postgres"), Role::plain("me")];
    let mut present = server(&[]);
    present.roles.push(Role { superuser: true, ..Role::bootstrap("me") });
    let (map, powers) = (TablespaceMap::default(), Powers { user: "me".to_owned(), ..superuser() });
    let mut wish = wish(&wanted, &present, &powers, &map);
    wish.update = true;
    let plan = plan(&wish);
    assert!(statements(&plan).iter().all(|text| !text.contains("NOSUPERUSER") && !text.contains("\"me\"")));
    assert!(plan.differences[0].contains("\"me\" restores and is never altered"), "{plan:?}");
}

#[test]
fn grantors_come_after_they_got_the_right() {
    let names = ["boss", "deputy", "team", "worker"].map(Role::plain);
    let mut wanted = server(&names);
    wanted.bootstrap = "admin".to_owned();
    wanted.memberships = vec![
        member("team", "worker", "deputy", false),
        member("team", "deputy", "boss", true),
        member("team", "boss", "admin", true),
    ];
    let (present, map, powers) = (server(&[]), TablespaceMap::default(), superuser());
    let plan = plan(&wish(&wanted, &present, &powers, &map));
    let grants: Vec<&str> = statements(&plan).into_iter().filter(|text| text.starts_with("GRANT")).collect();
    assert_eq!(
        grants.iter().map(|text| text.split(" WITH").next().unwrap()).collect::<Vec<_>>(),
        ["GRANT \"team\" TO \"boss\"", "GRANT \"team\" TO \"deputy\"", "GRANT \"team\" TO \"worker\""]
    );
    // The archive's first superuser has another name here.
    assert!(grants[0].ends_with("GRANTED BY \"postgres\"") && grants[1].ends_with("GRANTED BY \"boss\""));
}

#[test]
fn grantors_of_old_servers_are_not_believed_by_new_ones() {
    let mut wanted = server(&["a", "b", "g"].map(Role::plain));
    let grant = Membership { inherit: None, set: None, ..member("a", "b", "g", true) };
    (wanted.server, wanted.memberships) = (ServerVersion(150_000), vec![grant]);
    let (mut present, map, powers) = (server(&[]), TablespaceMap::default(), superuser());
    assert!(
        statements(&plan(&wish(&wanted, &present, &powers, &map)))
            .contains(&"GRANT \"a\" TO \"b\" WITH ADMIN OPTION")
    );
    present.server = ServerVersion(150_001);
    let told = plan(&wish(&wanted, &present, &powers, &map));
    assert!(statements(&told).contains(&"GRANT \"a\" TO \"b\" WITH ADMIN OPTION GRANTED BY \"g\""));
}

#[test]
fn who_is_no_superuser_gives_what_he_may() {
    let strong =
        Role { superuser: true, bypass_rls: true, replication: true, login: true, ..Role::plain("strong") };
    let wanted = server(&[strong]);
    let (mut present, map) = (server(&[]), TablespaceMap::default());
    let powers = Powers { user: "adm".to_owned(), superuser: false, replication: false, ..superuser() };
    let made = plan(&wish(&wanted, &present, &powers, &map));
    assert_eq!(statements(&made), ["CREATE ROLE \"strong\" LOGIN BYPASSRLS"]);
    assert!(
        made.notes[0].contains("does not get SUPERUSER") && made.notes[1].contains("REPLICATION"),
        "{made:?}"
    );
    present.server = ServerVersion(150_000);
    let old = plan(&wish(&wanted, &present, &powers, &map));
    assert_eq!(statements(&old), ["CREATE ROLE \"strong\" LOGIN", "GRANT \"strong\" TO CURRENT_USER"]);
    let powerless = Powers { create_role: false, ..powers };
    assert!(plan(&wish(&wanted, &present, &powerless, &map)).roles.is_empty());
}

#[test]
fn needed_roles_bring_who_uses_them_and_what_those_are() {
    let mut wanted = server(&["owner", "app", "staff", "other", "stranger"].map(Role::plain));
    wanted.memberships = vec![
        member("owner", "app", "postgres", false),
        member("staff", "app", "postgres", false),
        member("pg_monitor", "app", "postgres", false),
        member("pg_monitor", "stranger", "postgres", false),
        member("other", "stranger", "postgres", false),
    ];
    let (present, map, powers) = (server(&[]), TablespaceMap::default(), superuser());
    let mut wish = wish(&wanted, &present, &powers, &map);
    let roles = BTreeSet::from(["owner".to_owned(), "gone".to_owned()]);
    wish.choice = Choice::Needed { roles, tablespaces: BTreeSet::new() };
    let plan = plan(&wish);
    assert_eq!(plan.roles.iter().collect::<Vec<_>>(), ["app", "owner", "staff"]);
    assert_eq!(plan.steps.iter().filter(|step| step.what.starts_with("make")).count(), 3, "{plan:?}");
}

#[test]
fn a_password_is_set_and_never_told() {
    let role = Role { password: Some(PasswordHash::new("SCRAM-SHA-256$planted")), ..Role::plain("r") };
    let wanted = server(&[role]);
    let (present, map, powers) = (server(&[]), TablespaceMap::default(), superuser());
    let plan = plan(&wish(&wanted, &present, &powers, &map));
    assert_eq!(statements(&plan), ["CREATE ROLE \"r\" PASSWORD 'SCRAM-SHA-256$planted'"]);
    assert_eq!(plan.steps[0].what, "create the role \"r\" PASSWORD");
}

#[test]
fn a_tablespace_elsewhere_is_told() {
    let space = |location: &str| Tablespace {
        name: "t".to_owned(),
        owner: "postgres".to_owned(),
        location: location.to_owned(),
        ..Tablespace::default()
    };
    let (mut wanted, mut present) = (server(&[]), server(&[]));
    wanted.tablespaces.push(space("/a"));
    let (map, powers) = (TablespaceMap::parse(&["t=/b".to_owned()]).unwrap(), superuser());
    let made = plan(&wish(&wanted, &present, &powers, &map));
    assert_eq!(statements(&made), ["CREATE TABLESPACE \"t\" OWNER \"postgres\" LOCATION '/b'"]);
    present.tablespaces.push(space("/c"));
    let told = plan(&wish(&wanted, &present, &powers, &map));
    assert_eq!((told.steps.len(), told.differences.len()), (0, 1));
    assert!(told.differences[0].contains("\"/c\" and not in \"/b\""), "{told:?}");
}
