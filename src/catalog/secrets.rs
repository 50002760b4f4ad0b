//! Passwords that a catalog holds in clear: in the options of foreign servers and user mappings, and in the connection
//! strings of subscriptions. A restore needs them; eyes do not.

use super::model::Model;
use super::registry::Object;
use super::sql_types::NamedValue;

/// What stands in the place of a password.
const HIDDEN: &str = "********";

/// Hides the passwords of a catalog; gives how many.
pub fn hide(model: &mut Model) -> usize {
    model.entries.iter_mut().map(|entry| hide_in(&mut entry.object)).sum()
}

fn hide_in(object: &mut Object) -> usize {
    match object {
        Object::ForeignDataWrapper(wrapper) => hide_options(&mut wrapper.options),
        Object::ForeignServer(server) => hide_options(&mut server.options),
        Object::ForeignTable(table) => hide_options(&mut table.wrapper_options),
        // The user's name is the only option of a mapping that is surely no secret.
        Object::UserMapping(mapping) => {
            let secrets = mapping.options.iter_mut().filter(|(name, _)| name != "user");
            secrets.map(|(_, value)| HIDDEN.clone_into(value)).count()
        }
        Object::Subscription(subscription) => {
            let hidden = subscription.connection.as_deref().and_then(hide_password);
            let found = usize::from(hidden.is_some());
            if let Some(hidden) = hidden {
                subscription.connection = Some(hidden);
            }
            found
        }
        _ => 0,
    }
}

/// Whether an option's name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["pass", "secret", "token", "key", "credential"].iter().any(|word| name.contains(word))
}

fn hide_options(options: &mut [NamedValue]) -> usize {
    let secrets = options.iter_mut().filter(|(name, _)| is_secret(name));
    secrets.map(|(_, value)| HIDDEN.clone_into(value)).count()
}

/// A connection string (PostgreSQL manual, section 34.1.1) without its passwords, if it has any.
fn hide_password(text: &str) -> Option<String> {
    let hidden = match text.split_once("://") {
        Some((scheme @ ("postgres" | "postgresql"), rest)) => {
            format!("{scheme}://{}", hide_in_url(rest))
        }
        _ => hide_in_pairs(text),
    };
    (hidden != text).then_some(hidden)
}

fn hide_in_url(rest: &str) -> String {
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    // A password may hold an `@` that should have been escaped: the last one ends it.
    let mut hidden = match before.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((user, _)), host)) => format!("{user}:{HIDDEN}@{host}"),
        _ => before.to_owned(),
    };
    for (position, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        hidden.push(if position == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) && name != "sslkey" => {
                hidden.push_str(&format!("{name}={HIDDEN}"));
            }
            _ => hidden.push_str(pair),
        }
    }
    hidden
}

fn hide_in_pairs(text: &str) -> String {
    let mut hidden = String::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let value = after.trim_start();
        let end = value_end(value);
        let (value, next) = value.split_at_checked(end).unwrap_or((value, ""));
        let secret = name.trim().contains("pass") && name.trim() != "passfile";
        hidden.push_str(&format!("{name}={}", if secret { HIDDEN } else { value }));
        rest = next;
    }
    hidden + rest
}

/// Where a value ends: at its closing quote, or at white space; a backslash takes the next character along.
fn value_end(value: &str) -> usize {
    let quoted = value.starts_with('\'');
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quoted => return at + 1,
            _ if !quoted && c.is_whitespace() => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_lose_their_passwords_alone() {
        for (given, wanted) in [
            ("host=a password=b user=c", Some("host=a password=******** user=c")),
            (r"password = 'it\'s = x' host=a", Some("password =******** host=a")),
            ("host=a user=password", None),
            (
                "postgresql://u:p@q@h:5432/d?sslmode=require",
                Some("postgresql://u:********@h:5432/d?sslmode=require"),
            ),
            ("postgres://h/d?user=u&password=p%20q", Some("postgres://h/d?user=u&password=********")),
            ("postgres://u@h/d", None),
            ("", None),
        ] {
            assert_eq!(hide_password(given).as_deref(), wanted, "{given}");
        }
    }
}
