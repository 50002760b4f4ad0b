//! The frame of a drawing: inline SVG with a title for whoever hovers and a description for whoever does not see it.

use super::html::escape;

/// Width of the drawings' coordinates.
pub(crate) const WIDTH: f64 = 1000.0;
/// Where the plot begins, right of the labels.
pub(crate) const LEFT: f64 = 92.0;
/// Where it ends.
pub(crate) const RIGHT: f64 = 985.0;

/// What a drawing begins with. `id` is its own on the page.
pub(crate) fn opening(height: f64, id: &str, title: &str, description: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{0}</title><desc id=\"{id}-d\">{1}</desc>",
        escape(title),
        escape(description)
    )
}

/// What it ends with.
pub(crate) const CLOSING: &str = "</svg></div>";
