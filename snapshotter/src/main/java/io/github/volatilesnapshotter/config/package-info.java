/** The configuration file: a record per section, validated, with defaults. Knows no other room. */
@NullMarked
package io.github.volatilesnapshotter.config;

import org.jspecify.annotations.NullMarked;
