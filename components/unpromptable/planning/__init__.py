"""From an experiment's text to frozen, validated objects: settings, cells, their keys and costs."""
