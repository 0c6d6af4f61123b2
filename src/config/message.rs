//! How problems are shown: place, line, caret, code, hint.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use types::options::Problem;

use super::text::Texts;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The config is refused.
    Error,
    /// The config works, but likely not as meant.
    Warning,
}

/// Renders problems in the order given, an empty line between them, a newline at the end.
/// `is_colored` asks for the escapes of a terminal.
pub fn render(texts: &Texts, problems: &[Problem], weight: Weight, is_colored: bool) -> String {
    let renderer = if is_colored { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for problem in problems {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&render_one(texts, problem, weight, &renderer));
        out.push('\n');
    }
    out
}

fn render_one(texts: &Texts, problem: &Problem, weight: Weight, renderer: &Renderer) -> String {
    let level = match weight {
        Weight::Error => Level::ERROR,
        Weight::Warning => Level::WARNING,
    };
    let title = level.primary_title(problem.message.as_str()).id(problem.code);
    let mut group = match texts.spot(&problem.place) {
        Some(spot) if spot.text.is_empty() => {
            title.element(Origin::path(spot.path).line(1).char_column(1))
        }
        Some(spot) => title.element(
            Snippet::source(spot.text)
                .path(spot.path)
                .annotation(AnnotationKind::Primary.span(spot.span)),
        ),
        None => title.element(Origin::path("config")),
    };
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}
