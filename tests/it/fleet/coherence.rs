//! The checker, with readers on one instance and writers on another.
