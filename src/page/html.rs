//! Text for HTML: everything that comes from outside is escaped, names of tables above all.

use crate::pg::quote::printable;

/// Text for element content and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Marks that turn the direction of writing would show another name than there is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// A table with a caption, heads, and rows whose cells are HTML already. The first cell of a row is its head.
pub(crate) fn table(caption: &str, heads: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>",
        escape(caption)
    );
    out.push_str(&format!("<caption>{}</caption><thead><tr>", escape(caption)));
    for (head, align) in heads {
        out.push_str(&format!("<th scope=\"col\"{}>{}</th>", align.class(), escape(head)));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let class = heads.get(at).map_or("", |(_, align)| align.class());
            out.push_str(&if at == 0 {
                format!("<th scope=\"row\"{class}>{cell}</th>")
            } else {
                format!("<td{class}>{cell}</td>")
            });
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

/// A sentence: what stands between two backquotes is set as code.
pub(crate) fn sentence(text: &str) -> String {
    let escaped = escape(text);
    let parts: Vec<&str> = escaped.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped;
    }
    let set = |(at, part): (usize, &&str)| {
        if at.is_multiple_of(2) { (*part).to_owned() } else { format!("<code>{part}</code>") }
    };
    parts.iter().enumerate().map(set).collect()
}

/// List items, of HTML.
pub(crate) fn items(items: impl Iterator<Item = String>) -> String {
    items.fold(String::new(), |list, item| list + "<li>" + &item + "</li>")
}

/// How a column is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Align {
    /// Words.
    Text,
    /// Figures.
    Number,
}

impl Align {
    const fn class(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Number => " class=\"n\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_sentence_are_code() {
        assert_eq!(sentence("try `a <b>`, `c`"), "try <code>a &lt;b&gt;</code>, <code>c</code>");
        assert_eq!(sentence("a ` alone"), "a ` alone");
    }

    #[test]
    fn nothing_that_a_name_holds_is_markup() {
        let hostile = "<script>alert('x')</script>\"&\n\u{202e}";
        assert_eq!(escape(hostile), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\\n\u{fffd}");
    }
}
