//! The words of ML Mesh as types: names, manifests, artifacts, and the Step and Project contracts.
