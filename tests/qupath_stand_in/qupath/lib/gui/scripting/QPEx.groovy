package qupath.lib.gui.scripting

import javax.imageio.ImageIO
import qupath.lib.io.PathIO

/** A project of one image: STAND_IN_IMAGE, with the objects of STAND_IN_OBJECTS. */
class QPEx {
    static final String PROJECT_BASE_DIR = '{%PROJECT}'
    static final Server SERVER = new Server()
    static List hierarchy = PathIO.readObjects(new File(System.getenv('STAND_IN_OBJECTS')))

    static {
        // What the image holds when the script has ended.
        def result = System.getenv('STAND_IN_RESULT')
        Runtime.getRuntime().addShutdownHook(new Thread({ PathIO.write(hierarchy, new File(result)) }))
    }

    static Object getProject() { return 'a project' }
    static Entry getProjectEntry() { return new Entry() }
    static Server getCurrentServer() { return SERVER }
    static Collection getAnnotationObjects() { return hierarchy.findAll { it.isAnnotation() } }
    static Collection getDetectionObjects() { return hierarchy.findAll { !it.isAnnotation() } }
    static void addObjects(Collection objects) { hierarchy.addAll(objects) }
    static void removeObjects(Collection objects, boolean keepChildren) { hierarchy.removeAll(objects) }
    static void fireHierarchyUpdate() { }
    static boolean mkdirs(String path) { return new File(path).mkdirs() }

    static String buildFilePath(String... parts) {
        def first = parts[0].replace(PROJECT_BASE_DIR, System.getenv('STAND_IN_PROJECT'))
        return ([first] + parts.drop(1).toList()).join('/')
    }

    static void exportObjectsToGeoJson(Collection objects, String path, String option, String... more) {
        assert option == 'FEATURE_COLLECTION' && more.length == 0
        PathIO.write(objects, new File(path))
    }

    static class Entry {
        String getImageName() { return new File(System.getenv('STAND_IN_IMAGE')).getName() }
    }

    static class Server {
        def image = ImageIO.read(new File(System.getenv('STAND_IN_IMAGE')))

        String getPath() { return 'path' }
        int getWidth() { return image.getWidth() }
        int getHeight() { return image.getHeight() }
        Calibration getPixelCalibration() { return new Calibration() }
        Object readRegion(request) { return image.getSubimage(request.x, request.y, request.width, request.height) }
    }

    static class Calibration {
        boolean hasPixelSizeMicrons() { return System.getenv('STAND_IN_MPP') != null }
        double getAveragedPixelSizeMicrons() { return System.getenv('STAND_IN_MPP') as double }
    }
}
