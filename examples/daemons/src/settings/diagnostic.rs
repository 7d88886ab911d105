//! What is wrong with a settings file: where, which key, and what to do about it.

use core::fmt;
use core::ops::Range;
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Whether a finding stops the daemon from starting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted, but a person should know.
    Warning,
}

/// One finding in a settings file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The settings file.
    pub file: PathBuf,
    /// Line within the file, from 1.
    pub line: usize,
    /// Column within the line in characters, from 1.
    pub column: usize,
    /// The key with the path to it, as `branch[0].pair[1].local`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    span: Range<usize>,
    /// Which of the report's texts it is about.
    text: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            key,
            message,
            remedy,
            ..
        } = self;
        write!(
            f,
            "{}:{line}:{column}: {key}: {message}; {remedy}",
            self.file.display()
        )
    }
}

/// Collects every finding of one file, so that all of them are reported at once.
#[derive(Debug)]
pub(super) struct Findings {
    file: PathBuf,
    text: String,
    /// Where its lines begin; made when the first place is asked for.
    lines: OnceCell<Vec<usize>>,
    list: RefCell<Vec<Diagnostic>>,
    /// Those of the files that this one includes.
    included: RefCell<Vec<Rc<Self>>>,
}

impl Findings {
    pub(super) fn new(file: &Path, text: &str) -> Rc<Self> {
        Rc::new(Self {
            file: file.to_owned(),
            text: text.to_owned(),
            lines: OnceCell::new(),
            list: RefCell::default(),
            included: RefCell::default(),
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What it holds.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reports what is found in another file together with what is found in this one.
    pub(super) fn include(&self, other: Rc<Self>) {
        self.included.borrow_mut().push(other);
    }

    pub(super) fn error(
        &self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, key, span, message.into(), remedy.into());
    }

    pub(super) fn warning(
        &self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, key, span, message.into(), remedy.into());
    }

    /// The line on which the octet at `offset` lies, as one says it in a finding of `asking`.
    pub(super) fn line_of(&self, offset: usize, asking: &Self) -> String {
        let (line, _) = self.position(offset);
        if core::ptr::eq(self, asking) {
            format!("line {line}")
        } else {
            format!("line {line} of {}", self.file.display())
        }
    }

    /// Whether a file is refused by now.
    pub(super) fn has_errors(&self) -> bool {
        let refused = |list: &RefCell<Vec<Diagnostic>>| {
            let list = list.borrow();
            list.iter()
                .any(|finding| finding.severity == Severity::Error)
        };
        refused(&self.list)
            || self
                .included
                .borrow()
                .iter()
                .any(|included| included.has_errors())
    }

    /// Everything found so far, file by file.
    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        self.append_to(&mut report);
        report
    }

    fn append_to(&self, report: &mut Report) {
        let mut diagnostics = self.list.take();
        if !diagnostics.is_empty() {
            diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.key.clone()));
            for diagnostic in &mut diagnostics {
                diagnostic.text = report.texts.len();
            }
            report.diagnostics.append(&mut diagnostics);
            report.texts.push(without_keys(&self.text));
        }
        for included in self.included.take() {
            included.append_to(report);
        }
    }

    fn add(
        &self,
        severity: Severity,
        key: &str,
        span: Range<usize>,
        message: String,
        remedy: String,
    ) {
        let (line, column) = self.position(span.start);
        let (file, key) = (self.file.clone(), key.to_owned());
        self.list.borrow_mut().push(Diagnostic {
            severity,
            file,
            line,
            column,
            key,
            message,
            remedy,
            span,
            text: 0,
        });
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| line_starts(&self.text));
        let line = lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| lines.get(index));
        let before = self.text.get(start.copied().unwrap_or(0)..offset);
        (line, before.map_or(0, |line| line.chars().count()) + 1)
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    core::iter::once(0).chain(after_newlines).collect()
}

/// The text with every pre-shared key in it masked, at unchanged offsets: lines of it are shown.
fn without_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let key = line.match_indices("psk").find_map(|(at, word)| {
            let (before, after) = (line.get(..at)?, line.get(at + word.len()..)?);
            let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
            let equals = after
                .trim_start()
                .starts_with(['=', '"', '\''])
                .then(|| after.find('='))??;
            whole.then_some(at + word.len() + equals + 1)
        });
        let (shown, secret) = line.split_at(key.unwrap_or(line.len()));
        masked.push_str(shown);
        for c in secret.chars() {
            match c {
                ' ' | '"' | '\'' | '\n' | '\r' | '}' => masked.push(c),
                other => masked.extend(core::iter::repeat_n('*', other.len_utf8())),
            }
        }
    }
    masked
}

/// Every finding of a settings file and of those that it includes, file by file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Of the files that something was found in.
    texts: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// The findings, each file's in its order.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether the file is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The findings with the lines of the file they point at, in colour for a terminal.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&renderer.render(&[self.group(diagnostic)]));
            out.push_str("\n\n");
        }
        out
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> annotate_snippets::Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let text = self.texts.get(diagnostic.text).map_or("", String::as_str);
        // The renderer looks at the whole of what it is given, and settings can be long.
        let span = diagnostic.span.clone();
        let start = text
            .get(..span.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let end = text
            .get(span.end..)
            .and_then(|after| after.find('\n'))
            .map_or(text.len(), |len| span.end + len);
        let lines = text.get(start..end).unwrap_or_default();
        let span = span.start.min(end) - start..span.end.min(end) - start;
        level
            .primary_title(format!("{}: {}", diagnostic.key, diagnostic.message))
            .element(
                Snippet::source(lines)
                    .line_start(diagnostic.line)
                    .path(diagnostic.file.display().to_string())
                    .annotation(AnnotationKind::Primary.span(span)),
            )
            .element(Level::HELP.message(diagnostic.remedy.as_str()))
    }
}
