package qupath.lib.objects

import qupath.lib.roi.ROI

/** An object that is its GeoJSON. */
class PathObject {
    Map feature

    boolean isAnnotation() { return feature.properties.objectType == 'annotation' }
    boolean isTile() { return feature.properties.objectType == 'tile' }
    ROI getROI() { return new ROI(geometry: feature.geometry) }
    String getName() { return feature.properties.name }
    void setName(String name) { if (name != null) feature.properties.name = name }
    Object getColor() { return feature.properties.color }
    void setColor(Object color) { if (color != null) feature.properties.color = color }
    Measurements getMeasurementList() { return new Measurements(values: feature.properties.measurements ?: [:]) }

    Object getPathClass() {
        def given = feature.properties.classification
        return given == null ? null : new PathClass(given: given)
    }

    static class PathClass {
        Map given
        String toString() { return given.name ?: given.names.join(': ') }
    }

    static class Measurements {
        Map values
        boolean containsKey(String name) { return values.containsKey(name) }
        double get(String name) { return values[name] as double }
    }
}
