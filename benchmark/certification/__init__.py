"""Shows that scenarios are feasible, hazardous and graded, and that truth labels are right."""
