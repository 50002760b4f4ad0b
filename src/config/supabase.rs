//! Supabase projects: the direct host of the database from the project's URL.

/// The host's name in a project's URL ends so.
const DOMAIN: &str = ".supabase.co";

/// Parts of the direct connection to a project's database: `https://REF.supabase.co` → `db.REF.supabase.co`, user and database
/// `postgres`, TLS required. The transaction pooler cannot be used for backups.
///
/// # Errors
/// Why the URL is none of a project.
pub fn direct(url: &str) -> Result<Vec<(&'static str, String)>, String> {
    let text = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let host =
        url::Url::parse(&text).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let project = host.strip_suffix(DOMAIN).map(|start| start.strip_prefix("db.").unwrap_or(start));
    let is_ref = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let project = project.filter(is_ref).ok_or_else(|| {
        format!("{url} is no URL of a Supabase project (https://REF.supabase.co); give the database's own URL instead")
    })?;
    Ok(vec![
        ("host", format!("db.{project}{DOMAIN}")),
        ("port", "5432".to_owned()),
        ("user", "postgres".to_owned()),
        ("dbname", "postgres".to_owned()),
        ("sslmode", "require".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::direct;

    #[test]
    fn the_direct_host_comes_from_the_project() {
        for url in [
            "https://abcdefghijklmnopqrst.supabase.co",
            "abcdefghijklmnopqrst.supabase.co/",
            "https://db.abcdefghijklmnopqrst.supabase.co",
        ] {
            assert_eq!(direct(url).unwrap()[0].1, "db.abcdefghijklmnopqrst.supabase.co", "{url}");
        }
        for url in ["http://localhost:54321", "https://supabase.example.org", "https://.supabase.co", ""] {
            assert!(direct(url).is_err(), "{url}");
        }
    }
}
