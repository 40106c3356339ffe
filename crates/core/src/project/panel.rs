use serde::Serialize;

/// Something that a project in Rust shows beside its answers: data of a known kind, which the page
/// draws. What it says is the project's own words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Panel {
    /// Which of the project's panels it is: one of [`Project::PANELS`](crate::Project::PANELS).
    pub name: &'static str,
    /// Its heading.
    pub title: String,
    /// What there is to see, in a sentence; nothing if that is plain.
    pub note: String,
    /// What is drawn.
    #[serde(flatten)]
    pub content: PanelContent,
}

/// The kinds of data that a page can draw.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PanelContent {
    /// A text with marks in it.
    Spans {
        /// The text.
        text: String,
        /// Its marks; of two that overlap the first is drawn.
        spans: Vec<PanelSpan>,
    },
    /// Values with names, as bars: between 0 and 1, or of any size.
    Bars {
        /// The bars, from the top.
        bars: Vec<PanelBar>,
    },
    /// Rows of texts.
    Table {
        /// The heads of the columns.
        columns: Vec<String>,
        /// The rows; each has as many cells as there are columns.
        rows: Vec<Vec<String>>,
    },
    /// Lines over points that have an order.
    Line {
        /// The names of the points, from the left.
        points: Vec<String>,
        /// The lines; each has as many values as there are points.
        lines: Vec<PanelLine>,
        /// The point that is marked; nothing for none.
        place: Option<usize>,
    },
    /// Numbers by row and column.
    Matrix {
        /// The names of the rows.
        rows: Vec<String>,
        /// The names of the columns.
        columns: Vec<String>,
        /// By row its values.
        values: Vec<Vec<f64>>,
    },
    /// What leads to what.
    Graph {
        /// The nodes, by their names.
        nodes: Vec<String>,
        /// The edges between them.
        edges: Vec<PanelEdge>,
    },
    /// A text.
    Text {
        /// The text; a line break begins a paragraph.
        text: String,
    },
}

/// A mark in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanelSpan {
    /// Where it begins, in characters of the text.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub label: String,
}

/// A value with a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanelBar {
    /// The name.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanelLine {
    /// What it is of.
    pub name: String,
    /// Its values; nothing where it has a gap.
    pub values: Vec<Option<f64>>,
}

/// An edge of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PanelEdge {
    /// The node that it starts from.
    pub from: String,
    /// The node that it leads to.
    pub to: String,
}
