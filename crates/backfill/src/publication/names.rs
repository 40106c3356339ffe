use mesh_core::Digest;
use mesh_postgres::{Relation, quoted};

/// What the tables and views of enrichments are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The schema, in SQL.
    pub(crate) schema: String,
    table: String,
}

/// Bytes of a name: the server cuts off what is beyond.
const LONGEST: usize = 63;

impl Names {
    pub(crate) fn new(documents: &Relation) -> Self {
        Self { schema: quoted(&documents.schema), table: documents.name.clone() }
    }

    /// The view that readers of a project ask.
    pub(crate) fn view(&self, project: &str) -> String {
        fitting(format!("{}_{}", self.table, project.replace('-', "_")))
    }

    /// The table of a generation.
    pub(crate) fn table(&self, project: &str, generation: &str) -> String {
        let all = [&self.table, project, generation].map(|part| part.replace('-', "_"));
        fitting(all.join("_"))
    }

    /// A name in the schema, in SQL.
    pub(crate) fn sql(&self, name: &str) -> String {
        format!("{}.{}", self.schema, quoted(name))
    }

    /// What nobody does who may not make tables and views, and of which nothing is left.
    pub(crate) fn probe(&self) -> String {
        let name = self.sql(&fitting(format!("mesh_probe_{}", std::process::id())));
        format!("CREATE VIEW {name} AS SELECT 1 AS one; DROP VIEW {name}")
    }
}

/// A name that the server does not cut: of a longer one the beginning, and what tells it apart.
fn fitting(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let digest = Digest::of(name.as_bytes()).short();
    let most = LONGEST - digest.len() - 1;
    let end = (0..=most).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    format!("{}_{digest}", name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_cut_by_the_server() {
        assert_eq!(fitting("news_topic".into()), "news_topic");
        let (one, two) = (format!("{}a", "é".repeat(40)), format!("{}b", "é".repeat(40)));
        let (one, two) = (fitting(one), fitting(two));
        assert!(one.len() <= LONGEST && two.len() <= LONGEST);
        assert_ne!(one, two);
    }
}
