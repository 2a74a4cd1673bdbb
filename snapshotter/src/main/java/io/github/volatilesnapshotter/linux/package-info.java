/** One thin class per kernel facility, by native calls. Every failure is an exception with operation, arguments and errno. Knows no other room. */
@NullMarked
package io.github.volatilesnapshotter.linux;

import org.jspecify.annotations.NullMarked;
