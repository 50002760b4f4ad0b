//! Connection strings: URLs and keyword/value strings, read as libpq reads them (manual, section 32.1.1).

use super::error::OptionsError;
use super::params::Params;

/// Reads a connection string: a URL, keyword/value pairs, or else the bare name of a database, as psql does.
pub(crate) fn parse(text: &str) -> Result<Params, OptionsError> {
    if let Some(rest) = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        parse_url(rest)
    } else if text.contains('=') {
        parse_pairs(text)
    } else {
        let mut params = Params::default();
        if !text.is_empty() {
            params.set("dbname", text.to_owned())?;
        }
        Ok(params)
    }
}

/// `[user[:password]@][host[:port],…][/dbname][?name=value&…]`
fn parse_url(rest: &str) -> Result<Params, OptionsError> {
    let mut params = Params::default();
    // Credentials end at the first "@" unless a "/" comes before it; a "?" does not end them.
    let rest = match rest.find(['@', '/']).and_then(|at| rest.split_at_checked(at)) {
        Some((credentials, after)) if after.starts_with('@') => {
            let (user, password) = split_at_first(credentials, ':');
            set_decoded(&mut params, "user", user)?;
            set_decoded(&mut params, "password", password.unwrap_or_default())?;
            after.strip_prefix('@').unwrap_or(after)
        }
        _ => rest,
    };
    let (before_query, query) = split_at_first(rest, '?');
    let (hosts, path) = split_at_first(before_query, '/');
    parse_hosts(hosts, &mut params)?;
    set_decoded(&mut params, "dbname", path.unwrap_or_default())?;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        parse_query_pair(pair, &mut params)?;
    }
    Ok(params)
}

fn split_at_first(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn set_decoded(params: &mut Params, name: &str, value: &str) -> Result<(), OptionsError> {
    if value.is_empty() { Ok(()) } else { params.set(name, decode(value)?) }
}

/// The list `host:port,[::1]:port,…`; hosts and ports are kept as two comma-separated lists, as libpq keeps them.
fn parse_hosts(list: &str, params: &mut Params) -> Result<(), OptionsError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for entry in list.split(',') {
        let (host, port) = if let Some(inner) = entry.strip_prefix('[') {
            let (address, after) = inner
                .split_once(']')
                .ok_or(OptionsError::Syntax("an IPv6 address lacks its closing \"]\""))?;
            if address.is_empty() {
                return Err(OptionsError::Syntax("an IPv6 address is empty"));
            }
            let port = match after.strip_prefix(':') {
                Some(port) => port,
                None if after.is_empty() => "",
                None => return Err(OptionsError::Syntax("unexpected text after \"]\"")),
            };
            (address, port)
        } else {
            entry.split_once(':').unwrap_or((entry, ""))
        };
        hosts.push(host);
        ports.push(port);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        params.set("host", decode(&hosts.join(","))?)?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        params.set("port", decode(&ports.join(","))?)?;
    }
    Ok(())
}

fn parse_query_pair(pair: &str, params: &mut Params) -> Result<(), OptionsError> {
    let (name, value) =
        pair.split_once('=').ok_or(OptionsError::Syntax("a query parameter of the URL lacks \"=\""))?;
    if value.contains('=') {
        return Err(OptionsError::Syntax("a query parameter of the URL has two \"=\""));
    }
    let (name, value) = (decode(name)?, decode(value)?);
    // JDBC's form, which libpq takes too.
    if name == "ssl" && value == "true" {
        return params.set("sslmode", "require".to_owned());
    }
    params.set(&name, value)
}

/// Percent decoding. `+` stands for itself.
fn decode(text: &str) -> Result<String, OptionsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.next().zip(rest.next());
        let value = digits.and_then(|(high, low)| Some(hex(high)? << 4 | hex(low)?));
        match value {
            Some(0) => return Err(OptionsError::Syntax("\"%00\" is not allowed")),
            Some(byte) => bytes.push(byte),
            None => {
                return Err(OptionsError::Syntax("\"%\" must be followed by two hexadecimal digits"));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| OptionsError::Syntax("percent-encoded text is not UTF-8"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `name = value …`; values in single quotes or bare, with backslash escapes in both.
fn parse_pairs(text: &str) -> Result<Params, OptionsError> {
    let mut params = Params::default();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| is_space(*c)).is_some() {}
        if chars.peek().is_none() {
            return Ok(params);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !is_space(*c)) {
            name.push(c);
        }
        while chars.next_if(|c| is_space(*c)).is_some() {}
        if chars.next() != Some('=') {
            // The word is not told: it may be the rest of a password that was not quoted.
            return Err(OptionsError::Syntax(
                "a word is not followed by \"=\" (values with spaces need quotes)",
            ));
        }
        while chars.next_if(|c| is_space(*c)).is_some() {}
        let value = pair_value(&mut chars)?;
        params.set(&name, value)?;
    }
}

fn pair_value(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, OptionsError> {
    let quoted = chars.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match chars.next() {
            None if quoted => return Err(OptionsError::Syntax("a quoted value is not terminated")),
            None => return Ok(value),
            Some('\'') if quoted => return Ok(value),
            Some(c) if !quoted && is_space(c) => return Ok(value),
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
        }
    }
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let params = match parse(text) {
            Ok(params) => params,
            Err(error) => return format!("error: {error}"),
        };
        let names = [
            "user",
            "password",
            "host",
            "hostaddr",
            "port",
            "dbname",
            "sslmode",
            "options",
            "application_name",
        ];
        let pairs: Vec<String> =
            names.iter().filter_map(|name| Some(format!("{name}={}", params.get(name)?))).collect();
        pairs.join(" ")
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        // From the manual, section 32.1.1.2, and from libpq's own test of URLs.
        for (url, expected) in [
            ("postgresql://", ""),
            ("postgres://localhost", "host=localhost"),
            ("postgresql://localhost:5433", "host=localhost port=5433"),
            ("postgresql://localhost/mydb", "host=localhost dbname=mydb"),
            ("postgresql://user@localhost", "user=user host=localhost"),
            ("postgresql://user:secret@localhost", "user=user password=secret host=localhost"),
            ("postgresql://us%65r:p%40ss%2f%3A@host/d%20b", "user=user password=p@ss/: host=host dbname=d b"),
            ("postgresql://uri-user@/", "user=uri-user"),
            ("postgresql://:12345/", "port=12345"),
            ("postgresql://:12345/db", "port=12345 dbname=db"),
            ("postgresql:///mydb?host=localhost&port=5433", "host=localhost port=5433 dbname=mydb"),
            ("postgresql://[2001:db8::1234]/database", "host=2001:db8::1234 dbname=database"),
            ("postgresql://u@[::1]:55", "user=u host=::1 port=55"),
            ("postgresql://h1:123,h2:456/db", "host=h1,h2 port=123,456 dbname=db"),
            ("postgresql://h1,[::1]:456", "host=h1,::1 port=,456"),
            ("postgresql://%2Fvar%2Flib%2Fpostgresql/dbname", "host=/var/lib/postgresql dbname=dbname"),
            ("postgresql:///dbname?host=/var/lib/postgresql", "host=/var/lib/postgresql dbname=dbname"),
            ("postgresql://host?ssl=true", "host=host sslmode=require"),
            ("postgresql://host/?user=a&options=-c%20geqo%3Doff", "user=a host=host options=-c geqo=off"),
            ("postgresql://a+b:c+d@h", "user=a+b password=c+d host=h"),
            ("postgresql://@host", "host=host"),
            ("postgresql://u:p?w=%26@h?dbname=d", "user=u password=p?w=& host=h dbname=d"),
            ("postgresql://h/d@b", "host=h dbname=d@b"),
            ("postgresql://u:p:q@h", "user=u password=p:q host=h"),
            ("postgresql://host/db?&&user=x", "user=x host=host dbname=db"),
            ("postgresql://host/a?dbname=b", "host=host dbname=b"),
            ("postgresql://host?dbname=%e2%82%ac", "host=host dbname=€"),
        ] {
            assert_eq!(show(url), expected, "{url}");
        }
    }

    #[test]
    fn malformed_urls_are_refused_without_quoting_them() {
        for (url, expected) in [
            ("postgresql://host/db?u%7aer=x", "unknown connection parameter \"uzer\""),
            (
                "postgresql://host?zzz",
                "malformed connection string: a query parameter of the URL lacks \"=\"",
            ),
            (
                "postgresql://host?a=b=c",
                "malformed connection string: a query parameter of the URL has two \"=\"",
            ),
            ("postgresql://[::1", "malformed connection string: an IPv6 address lacks its closing \"]\""),
            ("postgresql://[]", "malformed connection string: an IPv6 address is empty"),
            ("postgresql://[::1]z", "malformed connection string: unexpected text after \"]\""),
            (
                "postgresql://u:%zz@h",
                "malformed connection string: \"%\" must be followed by two hexadecimal digits",
            ),
            (
                "postgresql://u:%1",
                "malformed connection string: \"%\" must be followed by two hexadecimal digits",
            ),
            ("postgresql://u%00@h", "malformed connection string: \"%00\" is not allowed"),
            ("postgresql://u%ff@h", "malformed connection string: percent-encoded text is not UTF-8"),
        ] {
            assert_eq!(show(url), format!("error: {expected}"), "{url}");
        }
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        for (text, expected) in [
            ("host=localhost port=5432 dbname=mydb", "host=localhost port=5432 dbname=mydb"),
            ("  host = a\tuser\n=\nb ", "user=b host=a"),
            (r"password='a \'b\' \\ c' user=u", r"user=u password=a 'b' \ c"),
            (r"password=a\ b\'c user=u", "user=u password=a b'c"),
            ("password='' user=u", "user=u password="),
            ("user=a user=b", "user=b"),
            ("host='/tmp' application_name='x=y z'", "host=/tmp application_name=x=y z"),
            ("dbname = ", "dbname="),
            ("password=üñ=x", "password=üñ=x"),
            ("mydb", "dbname=mydb"),
            ("my db", "dbname=my db"),
            ("", ""),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_pairs_are_refused_without_quoting_them() {
        let bare = "a word is not followed by \"=\" (values with spaces need quotes)";
        for (text, expected) in [
            ("password=my secret", format!("malformed connection string: {bare}")),
            ("user='abc", "malformed connection string: a quoted value is not terminated".to_owned()),
            ("usr=a", "unknown connection parameter \"usr\"".to_owned()),
            ("require_auth=none", "connection parameter \"require_auth\" is not supported: use channel_binding=require or sslmode=verify-full".to_owned()),
            ("gssencmode=require", "connection parameter \"gssencmode\" is not supported: GSSAPI is not built in".to_owned()),
        ] {
            assert_eq!(show(text), format!("error: {expected}"), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let params = parse("postgres://u:hunter2@h").unwrap();
        assert!(!format!("{params:?}").contains("hunter2"));
    }
}
