"""Whether a site takes a release: compared with the one in use on the site's own labelled images, before it is activated."""
