//! Ordered collections that waste no room.

/// Makes a collection anew, as dense as can be. An ordered map or set that grew in the order of its keys is a tree of nodes that are
/// little more than half full; with a thousand peers that is worth a walk over them.
pub fn repack<C: Default + IntoIterator + FromIterator<C::Item>>(collection: &mut C) {
    *collection = std::mem::take(collection).into_iter().collect();
}
