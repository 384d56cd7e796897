package qupath.lib.objects

import java.awt.geom.AffineTransform

class PathObjectTools {
    static PathObject transformObject(
            PathObject object, AffineTransform transform, boolean copyMeasurements, boolean createNewIDs) {
        assert copyMeasurements && !createNewIDs
        def geometry = object.feature.geometry
        def moved = geometry + [coordinates: shifted(geometry.coordinates, transform)]
        return new PathObject(feature: object.feature + [geometry: moved])
    }

    static Object shifted(coordinates, AffineTransform by) {
        if (coordinates[0] instanceof List) {
            return coordinates.collect { shifted(it, by) }
        }
        return [coordinates[0] + by.getTranslateX(), coordinates[1] + by.getTranslateY()]
    }
}
