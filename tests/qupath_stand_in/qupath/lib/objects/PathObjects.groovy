package qupath.lib.objects

class PathObjects {
    static PathObject createAnnotationObject(roi, pathClass) {
        def properties = [objectType: 'annotation']
        if (pathClass != null) {
            properties.classification = pathClass.given
        }
        def id = UUID.randomUUID().toString()
        return new PathObject(
            feature: [type: 'Feature', id: id, geometry: roi.geometry, properties: properties])
    }
}
