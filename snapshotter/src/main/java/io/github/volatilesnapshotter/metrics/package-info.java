/** Every metric's name, in one place, and the endpoint that shows them. Knows no other room. */
@NullMarked
package io.github.volatilesnapshotter.metrics;

import org.jspecify.annotations.NullMarked;
