<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<!-- Uncertainty: light where it is small, dark where it is large. The plugin sets the range from the raster. -->
<qgis version="3.22" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin="0" classificationMax="5">
      <rasterTransparency/>
      <minMaxOrigin>
        <limits>CumulativeCut</limits>
        <extent>WholeRaster</extent>
        <statAccuracy>Estimated</statAccuracy>
        <cumulativeCutLower>0.02</cumulativeCutLower>
        <cumulativeCutUpper>0.98</cumulativeCutUpper>
        <stdDevFactor>2</stdDevFactor>
      </minMaxOrigin>
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="0" maximumValue="5">
          <colorramp type="gradient" name="[source]">
            <Option type="Map">
              <Option type="QString" name="color1" value="252,253,191,255"/>
              <Option type="QString" name="color2" value="59,15,112,255"/>
              <Option type="QString" name="discrete" value="0"/>
              <Option type="QString" name="rampType" value="gradient"/>
              <Option type="QString" name="stops" value="0.25;254,159,109,255:0.5;222,73,104,255:0.75;140,41,129,255"/>
            </Option>
            <prop k="color1" v="252,253,191,255"/>
            <prop k="color2" v="59,15,112,255"/>
            <prop k="discrete" v="0"/>
            <prop k="rampType" v="gradient"/>
            <prop k="stops" v="0.25;254,159,109,255:0.5;222,73,104,255:0.75;140,41,129,255"/>
          </colorramp>
          <item value="0" label="0" color="#fcfdbf" alpha="255"/>
          <item value="1.25" label="1.25" color="#fe9f6d" alpha="255"/>
          <item value="2.5" label="2.5" color="#de4968" alpha="255"/>
          <item value="3.75" label="3.75" color="#8c2981" alpha="255"/>
          <item value="5" label="5" color="#3b0f70" alpha="255"/>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
    <rasterresampler maxOversampling="2"/>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
