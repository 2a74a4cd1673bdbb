/** volatile-snapshotter: a containerd snapshotter that makes volatile overlayfs safe. */
@NullMarked
package io.github.volatilesnapshotter;

import org.jspecify.annotations.NullMarked;
