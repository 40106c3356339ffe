use serde::Serialize;
use serde_arrow::ArrayBuilder;

/// A prediction whose type is known only to its project, to be written in whatever form.
pub trait AnyPrediction {
    /// As JSON.
    fn json(&self) -> String;

    /// Adds it to columns, of which each of its fields is one.
    ///
    /// # Errors
    /// When it does not fit their types.
    fn push_to(&self, columns: &mut ArrayBuilder) -> serde_arrow::Result<()>;
}

impl<T: Serialize> AnyPrediction for T {
    fn json(&self) -> String {
        // A prediction is plain data: the only way to fail is a map whose keys are not text, which
        // a JSON schema cannot describe either.
        serde_json::to_string(self).unwrap_or_else(|_| "null".into())
    }

    fn push_to(&self, columns: &mut ArrayBuilder) -> serde_arrow::Result<()> {
        columns.push(self)
    }
}
