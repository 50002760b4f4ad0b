//! Pages for people: HTML and drawings that hold all they need, without script. Everything that comes from outside is
//! escaped; colours are the style's, light and dark.

pub(crate) mod html;
pub(crate) mod plot;
pub(crate) mod svg;

/// The style of all pages.
pub(crate) const STYLE: &str = include_str!("style.css");

/// A whole page. `main`: the HTML of its content; `footer`: a text.
pub(crate) fn document(title: &str, main: &str, footer: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <title>{}</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\n<main id=\"main\" tabindex=\"-1\">\n{main}</main>\n<footer>{}</footer>\n</body></html>\n",
        html::escape(title),
        html::escape(footer)
    )
}
